"""The rows of a training set for a training, straight from its Parquet shards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pipeline.model.errors import UsageError
from pipeline.read.export.manifest import MANIFEST, Manifest
from pipeline.read.export.shared_rows import SharedRows
from pipeline.storage.documents import read_document
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file
from pipeline.tables.snapshot.rows import Group


class NoSet(UsageError):
    """There is nothing to read."""

    def __str__(self) -> str:
        return "this folder holds no complete export in Parquet"


class Part(NamedTuple):
    """A row group of a shard, with its number of rows."""

    path: str
    number: int
    rows: int


class SetRows(SharedRows[Part]):
    """Rows of an export, as dictionaries, shared as ``SharedRows`` says.

    Args:
        storage: the export's.
        columns: of the export.
        seed: shuffles the order of row groups each epoch; None keeps it. Rows of a row group keep their order.

    Raises:
        NoSet: there is no complete export, or one of another format.
        StoredFileDamaged: when it reads, a file is damaged or gone.
    """

    def __init__(
        self, storage: Storage, columns: Sequence[str] = ("path", "language", "content"), *, seed: int | None = None
    ) -> None:
        super().__init__(storage, columns, seed)
        if storage.stat(MANIFEST) is None:
            raise NoSet
        self._manifest = read_document(storage, MANIFEST, Manifest.model_validate_json)
        if self._manifest.plan.selection.format != "parquet":
            raise NoSet

    @cached_property
    def parts(self) -> list[Part]:
        """All row groups, in the order of the shards."""
        return [part for shard in self._manifest.shards for part in self._parts_of(shard.path)]

    def _parts_of(self, path: str) -> list[Part]:
        with open_parquet_file(self._storage, path) as file:
            counts = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        return [Part(path, number, count) for number, count in enumerate(counts)]

    def _wanted(self, part: Part) -> Group:
        positions = np.arange(part.rows)
        return Group(part.path, part.number, positions, np.zeros_like(positions))
