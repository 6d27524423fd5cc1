"""Every file that the archive names, and its checksum on record.

Iceberg keeps no checksums of files, so ``ledger`` does. Whoever commits records what is new, in proportion to what
changed (``record``). Everything is read as files, without Spark.
"""
