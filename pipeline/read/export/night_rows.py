"""The contents of a night for a training, straight from its data files: no export, no Spark, shared by row groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.model.tombstone import Hidden
from pipeline.read.export.shared_rows import SharedRows
from pipeline.read.stored import StoredTables
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file
from pipeline.tables.snapshot.live_files import DataFile
from pipeline.tables.snapshot.rows import Group

_KEY = ("network", "oid", "at_head")


@dataclass(frozen=True, slots=True)
class Part:
    """A row group of a data file."""

    file: DataFile
    number: int


class NightRows(SharedRows[Part]):
    """Rows of ``contents``, as dictionaries, shared as ``SharedRows`` says.

    A base table holds an object once per network. What was taken down is left out.

    Args:
        storage: the archive's.
        night: None for the newest.
        columns: of ``contents``.
        head_only: only what is at HEAD of some repository.
        seed: shuffles the order of row groups each epoch; None keeps it. Rows of a row group keep their order.

    Raises:
        NotAnArchive, NightNotFound: there are no such tables.
        StoredFileDamaged: when it reads, a file is damaged or gone.
    """

    def __init__(
        self,
        storage: Storage,
        night: date | None = None,
        columns: Sequence[str] = ("oid", "name", "content"),
        *,
        head_only: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__(storage, columns, seed)
        tables = StoredTables(storage, night)
        self.night = tables.night
        self._head_only = head_only
        self._files, self._hidden = tables.files("contents"), tables.hidden

    @cached_property
    def parts(self) -> list[Part]:
        """All row groups of the night, in an order that depends on nothing else."""
        files = sorted(self._files, key=lambda file: file.path)
        return [Part(file, number) for file in files for number in range(self._row_groups(file))]

    def _row_groups(self, file: DataFile) -> int:
        if file.row_groups is not None:
            return file.row_groups
        with open_parquet_file(self._storage, file.path) as opened:
            return int(opened.num_row_groups)

    def _wanted(self, part: Part) -> Group:
        """The rows of a row group that the night has, and that may be read."""
        with open_parquet_file(self._storage, part.file.path) as opened:
            begin = sum(opened.metadata.row_group(number).num_rows for number in range(part.number))
            rows = opened.read_row_group(part.number, columns=list(_KEY), use_threads=False)
        wanted = rows["at_head"].to_numpy() if self._head_only else np.ones(len(rows), bool)
        low, high = np.searchsorted(part.file.deleted, [begin, begin + len(rows)])
        wanted = wanted.astype(bool)
        wanted[part.file.deleted[low:high] - begin] = False
        if self._hidden.touches("contents"):
            wanted &= _visible(rows, self._hidden)
        positions = np.flatnonzero(wanted)
        return Group(part.file.path, part.number, positions, np.zeros_like(positions))


def _visible(rows: pa.Table, gone: Hidden) -> np.ndarray[Any, np.dtype[np.bool_]]:
    keys = zip(rows["network"].to_pylist(), rows["oid"].to_pylist(), strict=True)
    return np.array(
        [
            network not in gone.networks and oid not in gone.anywhere and (network, oid) not in gone.objects
            for network, oid in keys
        ],
        bool,
    )
