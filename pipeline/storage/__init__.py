"""The archive's files, in local folders or on HDFS, behind one small interface. Only this package imports HdfsCLI."""
