"""Refs that tests ask for, as the default configuration does."""

from __future__ import annotations

PREFIXES = (b"HEAD", b"refs/heads/", b"refs/tags/")
