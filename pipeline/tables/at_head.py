"""Which blobs are at HEAD of some origin."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import functions as F

from pipeline.tables.rewrite import Seen


def blobs_at_head_in(head_blobs: Seen, bucket: int) -> pa.Table:
    """Network and oid of all blobs at HEAD of some origin of a bucket, each once, however many forks have it."""
    return head_blobs.rows().where(F.col("bucket") == bucket).select("network", "oid").distinct().toArrow()
