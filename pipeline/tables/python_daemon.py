"""The process on an executor from which Spark forks its Python workers: Spark's own, but for one thing (decision 13).

A worker of PySpark 4.1 drops all import caches before each task. Python before 3.13 then reads the whole directory of
each jar and zip on its path again, and of a zip once more for every package that came from it. What lies there does not
change while a worker lives, so they keep what they have read.
"""

from __future__ import annotations

from zipimport import zipimporter

from pyspark.daemon import manager


def _keep(importer: zipimporter) -> None:
    """In the place of reading the directory again."""


if __name__ == "__main__":
    zipimporter.invalidate_caches = _keep  # type: ignore[method-assign, assignment]  # to replace it is the purpose
    manager()  # type: ignore[no-untyped-call]  # PySpark's daemon has no types
