"""What ``bucket_stats`` finds with Spark, from the files of Iceberg's metadata: for metrics, without starting it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.rules.compaction import COMPACTED, BucketStats
from pipeline.storage.interface import Storage
from pipeline.tables.snapshot.live_files import ListedFile, listed_files
from pipeline.tables.snapshot.metadata import read_metadata

_NIGHT = re.compile(r"/data/(\d{4}-\d{2}-\d{2})")


def stored_stats(storage: Storage, table: str) -> list[BucketStats]:
    """Statistics of each bucket of a table's current state, by bucket; none of a table that has none.

    Args:
        storage: knows where the archive was before, if it was moved.

    Raises:
        StoredFileDamaged: a file of the metadata cannot be read.
    """
    metadata = read_metadata(storage, table)
    if metadata is None or metadata.current is None:
        return []
    buckets: dict[int, list[ListedFile]] = {}
    for file in listed_files(storage, metadata.lists[metadata.current]):
        if file.bucket is not None:
            buckets.setdefault(file.bucket, []).append(file)
    return [_stats(table, bucket, files) for bucket, files in sorted(buckets.items())]


def _stats(table: str, bucket: int, files: Sequence[ListedFile]) -> BucketStats:
    data = [file for file in files if not file.deletes]
    landed = [file for file in data if f"/{COMPACTED}" not in file.path]
    nights = [found[1] if (found := _NIGHT.search(file.path)) else "" for file in files]
    return BucketStats(
        table=table,
        bucket=bucket,
        files=len(data),
        size_bytes=sum(file.size_bytes for file in data),
        rows=sum(file.rows for file in data),
        landed_files=len(landed),
        landed_bytes=sum(file.size_bytes for file in landed),
        deleted_rows=sum(file.rows for file in files if file.deletes),
        oldest_night=min(nights),
    )
