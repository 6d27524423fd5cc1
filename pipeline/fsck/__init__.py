"""Proving that an archive is whole: every file by its checksum, every object by its id, and what to do if one is not.

Files are checked without Spark (``quick``), objects by a Spark job (``deep``). Iceberg keeps no checksums of files, so
``ledger`` does; whoever commits records what is new, in proportion to what changed (``record``).
"""
