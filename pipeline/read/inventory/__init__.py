"""Every file that the archive names, and its checksum on record.

Iceberg keeps no checksums of files, so ``ledger`` does. Every run that commits records the new files, at a cost in
proportion to what changed (``record``). Everything is read as files, without Spark.
"""
