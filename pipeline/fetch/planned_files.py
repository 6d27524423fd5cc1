"""The live data files of a bucket, as its plan lists them: read when an object is first looked up.

A bucket in which nothing changed never reads the list, which grows with each night until the bucket is maintained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file
from pipeline.storage.uris import path_below_root

_BATCH_ROWS = 1024
_REQUIRED = ("table", "uri")
_BOUNDS = ("network_min", "network_max")


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file. ``path`` is relative to the archive's root.

    Attributes:
        networks: its least and greatest network; None if unknown, as in plans of earlier versions.
    """

    path: str
    networks: tuple[int, int] | None = None

    def may_hold(self, network: int) -> bool:
        """Whether it may have rows of a network."""
        return self.networks is None or self.networks[0] <= network <= self.networks[1]


class PlannedFiles:
    """The data files of one bucket.

    Args:
        storage: where the archive is.
        paths: paths of the plan's files that list them.
    """

    def __init__(self, storage: Storage, paths: Sequence[str]) -> None:
        self._storage, self._paths = storage, paths
        self._by_table: dict[str, list[DataFile]] | None = None

    def of(self, table: str) -> Sequence[DataFile]:
        """The live data files of a table; the first call reads the list.

        Raises:
            StoredFileDamaged: the list cannot be read.
            StorageError: it names a file that is not below the archive's root.
        """
        if self._by_table is None:
            self._by_table = self._read()
        return self._by_table.get(table, ())

    def _read(self) -> dict[str, list[DataFile]]:
        files: dict[str, list[DataFile]] = {}
        for path in self._paths:
            with open_parquet_file(self._storage, path) as file:
                columns = [*_REQUIRED, *(name for name in _BOUNDS if name in file.schema_arrow.names)]
                for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                    for row in batch.to_pylist():
                        low, high = (row.get(name) for name in _BOUNDS)
                        networks = None if low is None or high is None else (low, high)
                        file_path = path_below_root(self._storage, row["uri"])
                        files.setdefault(row["table"], []).append(DataFile(file_path, networks))
        return files
