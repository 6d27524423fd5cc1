"""Rows for a training, shared by row groups among all workers of all ranks: each once an epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from pipeline.rules.epochs import Share, share_of
from pipeline.storage.interface import Storage
from pipeline.tables.snapshot.rows import Group, rows_of

P = TypeVar("P")


class SharedRows(ABC, Generic[P]):
    """Rows as dictionaries. Iterating reads one share of an epoch, from its start; then the next epoch begins.

    Pickles, so that it travels to the workers of a loader; each opens its own files and holds one row group.

    Attributes:
        epoch: counts from 0; together with the seed it decides the order. Workers of a loader that ends with each epoch
            do not count it here: set it.
    """

    def __init__(self, storage: Storage, columns: Sequence[str], seed: int | None) -> None:
        self.epoch = 0
        self._storage, self._columns, self._seed = storage, tuple(columns), seed
        self._begin = self._given = 0

    @property
    def share(self) -> Share:
        """Which of the workers this process is."""
        return Share()

    @property
    @abstractmethod
    def parts(self) -> Sequence[P]:
        """All row groups, in an order that each worker finds again."""

    @abstractmethod
    def _wanted(self, part: P) -> Group:
        """The rows of a row group that are read."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._given, self._begin = self._begin, 0
        return self._iterate(self._given)

    def _iterate(self, given: int) -> Iterator[dict[str, Any]]:
        for row in self.rows(self.share, given):
            given += 1
            self._given = given
            yield row
        self._given, self.epoch = 0, self.epoch + 1

    def rows(self, share: Share, begin: int = 0) -> Iterator[dict[str, Any]]:
        """The rows of a share of this epoch, from a number on. Of rows before it little is read."""
        for part in share_of(self.parts, share, self._seed, self.epoch):
            group = self._wanted(part)
            count = len(group.positions)
            if count > begin:
                for batch in rows_of(self._storage, group.part(slice(begin, None)), self._columns):
                    yield from batch.to_pylist()
            begin = max(begin - count, 0)

    def state_dict(self) -> dict[str, int]:
        """Where the latest iteration of this worker is: the epoch, and how many rows of its share it has given."""
        return {"epoch": self.epoch, "rows": self._given}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration continue there, in a process with the same share and the same arguments."""
        self.epoch, self._begin, self._given = state["epoch"], state["rows"], state["rows"]
