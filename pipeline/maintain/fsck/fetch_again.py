"""Fetches lost objects of a bucket from origins that still serve them.

This is an ordinary fetch task whose plan says that nothing was ever fetched; its known objects are those that are left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime
from operator import itemgetter
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.context.config import Config
from pipeline.fetch.bucket import fetch_bucket
from pipeline.maintain.fsck.salvage import Ids
from pipeline.model.layout import Load
from pipeline.model.manifest import Manifest
from pipeline.model.tables import VISITS
from pipeline.model.visit import Visit
from pipeline.night.plan import plan_tombstones
from pipeline.rules.origins import LOOKED_AT
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file
from pipeline.tables.conflicts import see

_ORIGINS = pa.schema(
    [
        ("url", pa.string()),
        ("fork_of", pa.string()),
        ("network", pa.int64()),
        ("due", pa.bool_()),
        ("first_visit", pa.bool_()),
    ]
)
_REFS = pa.schema(
    [
        ("network", pa.int64()),
        ("url", pa.string()),
        ("name", pa.binary()),
        ("target", pa.binary()),
        ("peeled", pa.binary()),
        ("symref", pa.binary()),
    ]
)
_FILES = pa.schema([("table", pa.string()), ("uri", pa.string()), ("rows", pa.int64())])
_IDS = pa.schema([("network", pa.int64()), ("oid", pa.binary()), ("target", pa.binary())])
"""A fetch task also expects the target of ``tags``, to peel refs; refs are not needed here."""


def repair_load() -> Load:
    """A place in ``runs/`` that nothing mistakes for a load."""
    return Load(date.min, f"repair-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}")


def fetch_again(
    spark: SparkSession,
    storage: Storage,
    config: Config,
    load: Load,
    bucket: int,
    networks: Collection[int],
    known: Mapping[str, Ids],
    scratch: Path,
) -> Manifest | None:
    """Visit all origins of some networks that may be visited, and land their objects that are not in ``known``.

    Args:
        load: from ``repair_load``; the caller deletes its folder.
        known: ids by table; ``blobs`` has only those blobs that are complete.

    Returns:
        What was landed and how the visits ended; None if there is no origin to ask.

    Raises:
        StorageError, ScratchFailed: see ``fetch_bucket``.
    """
    chosen = (F.col("bucket") == bucket) & F.col("network").isin(sorted(networks))
    may = F.col("state").isin([str(state) for state in LOOKED_AT])
    found = see(spark, "origins").rows().where(chosen & may).select("network", "url", "fork_of").distinct()
    asked = sorted((tuple(row) for row in found.collect()), key=itemgetter(0, 1))  # the order of PlannedRefs
    if not asked:
        return None
    origins = [(url, fork_of, network, True, True) for network, url, fork_of in asked]
    _write(storage, f"{load.plan_origins}/bucket={bucket}/origins.parquet", origins, _ORIGINS)
    no_refs = [(network, url, None, None, None, None) for network, url, _ in asked]
    _write(storage, f"{load.plan_refs}/bucket={bucket}/refs.parquet", no_refs, _REFS)
    files = []
    for table, ids in known.items():
        mine = [(*key, None) for key in sorted(ids) if key[0] in networks]
        path = f"{load.root}/known/{table}.parquet"
        _write(storage, path, mine, _IDS)
        files.append((table, storage.uri(path), len(mine)))
    _write(storage, f"{load.plan_files}/bucket={bucket}/files.parquet", files, _FILES)
    plan_tombstones(spark, storage, load, [bucket])
    settings = config.fetch
    return fetch_bucket(
        storage,
        load,
        bucket,
        run_id=load.name,
        conditions=config.conditions,
        concurrency=settings.concurrency,
        scratch=scratch,
        run_bytes=settings.run_bytes,
    )


def visits_in(storage: Storage, landed: Manifest) -> Iterator[Visit]:
    """The visits of what was landed.

    Raises:
        StoredFileDamaged: their file cannot be read.
    """
    for file in landed.files:
        if file.table == VISITS.name:
            with open_parquet_file(storage, file.path) as rows:
                for batch in rows.iter_batches():
                    yield from map(Visit.of_row, batch.to_pylist())


def _write(storage: Storage, path: str, rows: Collection[tuple[object, ...]], schema: pa.Schema) -> None:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), sink, write_page_checksum=True)
    storage.replace(path, sink.getvalue().to_pybytes())
