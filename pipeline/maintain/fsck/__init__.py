"""Proves that an archive is whole, every file by its checksum and every object by its id, and repairs what is not.

Files are checked without Spark (``quick``), objects by a Spark job (``deep``).
"""
