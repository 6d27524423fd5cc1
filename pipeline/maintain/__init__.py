"""Housekeeping of an archive: what may go, when, and in which order, so that a kill at any point loses nothing.

Every step has two halves. A ``plan_*`` function looks and changes nothing; an ``apply_*`` function executes a plan and
may be called again after a crash, with a new plan. ``--dry-run`` runs only the first half.
"""
