"""Numbers about the archive and its runs, for Prometheus."""
