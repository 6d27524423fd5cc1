"""What a part of a bucket's questions found, as a file beside the landings: its fetch task need not ask again.

The file is an accelerator. Without it, or without a part of it, the fetch task asks itself.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from pipeline.fetch.parquet import PAGE_BYTES, ZSTD_LEVEL, open_parquet
from pipeline.model.layout import Load
from pipeline.model.tables import VISITS
from pipeline.model.visit import Visit
from pipeline.storage.errors import AlreadyThere, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file

log = logging.getLogger(__name__)

_BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Asked:
    """Origins that were asked.

    Attributes:
        ended: visits that a question ended, by URL.
        changed: URLs that show other refs than before, and must be visited.
    """

    ended: Mapping[str, Visit] = field(default_factory=dict)
    changed: Collection[str] = frozenset()


NOTHING = Asked()
"""Nobody has asked."""


def upload_asked(
    storage: Storage, load: Load, bucket: int, part: int, visits: Sequence[Visit], changed: Sequence[str], path: Path
) -> None:
    """Store what a part found; if another process did that first, its file stays.

    Rows are those of ``visits``; changed origins have no status.

    Args:
        path: local file to write.
    """
    nothing = dict.fromkeys(VISITS.column_names)
    rows = [*map(_row, visits), *({**nothing, "bucket": bucket, "origin": url} for url in changed)]
    with open_parquet(VISITS, path, ZSTD_LEVEL, PAGE_BYTES) as file:
        file.write_table(pa.Table.from_pylist(rows, VISITS.arrow_schema))
    try:
        storage.upload(path, load.asked(bucket, part))
    except AlreadyThere:
        log.info("bucket %d, part %d of its questions was asked by another host", bucket, part)


def read_asked(storage: Storage, load: Load, bucket: int, parts: int) -> Asked:
    """What is known of a bucket's questions. What cannot be read is left out."""
    ended: dict[str, Visit] = {}
    changed: set[str] = set()
    for part in range(parts):
        path = load.asked(bucket, part)
        try:
            rows = list(_rows(storage, path))
        except StoredFileDamaged as error:
            log.warning("bucket %d asks part %d of its origins again: %s", bucket, part, error)
            continue
        ended.update((visit.origin, visit) for visit in rows if isinstance(visit, Visit))
        changed.update(url for url in rows if isinstance(url, str))
    return Asked(ended, changed)


def _row(visit: Visit) -> dict[str, object]:
    return dict(zip(VISITS.column_names, visit.row, strict=True))


def _rows(storage: Storage, path: str) -> Iterator[Visit | str]:
    with open_parquet_file(storage, path) as file:
        for batch in file.iter_batches(_BATCH_ROWS, columns=list(VISITS.column_names)):
            for row in batch.to_pylist():
                yield row["origin"] if row["status"] is None else Visit.of_row(row)
