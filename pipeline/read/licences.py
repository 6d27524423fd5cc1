"""The licence files of each origin at HEAD, from what nights found out about their contents (decision 45)."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

_OBJECT = ["bucket", "network", "oid"]


def licences(files: DataFrame, head_blobs: DataFrame) -> DataFrame:
    """Bucket, network, origin, path, path_raw, oid, spdx_id and confidence of each file that is the text of a licence.

    Args:
        files, head_blobs: the tables of these names, or the same networks of both.
    """
    texts = head_blobs.where("spdx_id IS NOT NULL")
    texts = texts.select(*_OBJECT, "spdx_id", F.col("spdx_confidence").alias("confidence"))
    named = files.where("kind = 'file'").select("bucket", "network", "origin", "path", "path_raw", "oid")
    return named.join(texts, _OBJECT).select(*named.columns, "spdx_id", "confidence")
