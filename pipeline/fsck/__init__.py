"""Proving that an archive is whole: every file by its checksum, every object by its id, and what to do if one is not.

Files are checked without Spark (``quick``), objects by a Spark job (``deep``).
"""
