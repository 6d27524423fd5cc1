"""Tables as Iceberg's files describe them, for reads that are too small, or too exact, to start Spark for.

``metadata`` finds snapshots, ``live_files`` the data files of one, ``rows`` reads them.
"""
