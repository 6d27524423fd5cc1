"""The refs of origins in a plan, read one network at a time: those of a bucket need not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.rules.negotiation import Ref
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import ArchiveFile, open_parquet_file

BATCH_ROWS = 1024
COLUMNS = ["network", "url", "name", "target", "peeled", "symref"]

NESTED = "refs"
"""A column of ``plan/origins`` in plans of earlier versions, which held all refs of an origin in one row."""


class PlannedRef(NamedTuple):
    """A ref of an origin as it stood after the last good visit.

    Attributes:
        name: None in the one row of an origin without refs.
    """

    url: str
    name: bytes | None
    ref: Ref
    peeled: bytes | None


@dataclass(frozen=True, slots=True)
class PlannedRefs:
    """The refs of one bucket. Every origin of its plan has a row, so that lost rows are noticed.

    Attributes:
        paths: paths of the plan's files with refs, whose rows are sorted by network, URL and name.
    """

    storage: Storage
    paths: Sequence[str]

    def of(self, network: int, url: str | None = None) -> Iterator[PlannedRef]:
        """Rows of a network, or of one origin in it.

        Raises:
            StoredFileDamaged: a file cannot be read.
        """
        for path in self.paths:
            with open_parquet_file(self.storage, path) as file:
                yield from map(_planned, _rows(file, network, url))


def _rows(file: ArchiveFile, network: int, url: str | None) -> Iterator[dict[str, Any]]:
    groups = [
        group
        for group in range(file.num_row_groups)
        if _may_hold(file, group, "network", network) and (url is None or _may_hold(file, group, "url", url))
    ]
    if NESTED not in file.schema_arrow.names:
        for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=COLUMNS):
            yield from batch.filter(_match(batch, network, url)).to_pylist()
        return
    for batch in file.iter_batches(1, row_groups=groups, columns=["network", "url", NESTED]):
        for origin in batch.filter(_match(batch, network, url)).to_pylist():
            none = {"name": None, "target": None, "peeled": None, "symref": None}
            for ref in sorted(origin[NESTED] or [none], key=itemgetter("name")):
                yield {"network": origin["network"], "url": origin["url"], **ref}


def _match(batch: pa.RecordBatch, network: int, url: str | None) -> pa.Array:
    of_network = pc.equal(batch.column("network"), network)
    return of_network if url is None else pc.and_(of_network, pc.equal(batch.column("url"), url))


def _may_hold(file: ArchiveFile, group: int, column: str, value: object) -> bool:
    """Whether the footer allows the value. Spark wrote it and nothing checks it: a missing row is noticed here."""
    said = file.statistics(group, column)
    return said is None or not said.has_min_max or said.min <= value <= said.max


def _planned(row: dict[str, Any]) -> PlannedRef:
    return PlannedRef(row["url"], row["name"], Ref(row["target"], row["symref"]), row["peeled"])
