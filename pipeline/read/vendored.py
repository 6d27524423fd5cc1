"""Whether a file is a project's own, as an expression of Spark's: faster than the function ``is_vendored`` of SQL."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from pipeline.rules.vendored import LONGEST_PATH, vendored_paths


def vendored(path: str) -> Column:
    """As ``is_vendored``, of the column of this name; time grows with the square of what the rules look at."""
    return F.right(F.col(path), F.lit(LONGEST_PATH)).rlike(vendored_paths())
