"""What becomes of a content on which a person's function fails: it is named, or skipped and counted."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyspark import Accumulator, AccumulatorParam, SparkContext

from pipeline.model.errors import PipelineError, UsageError

OnBatches = Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]
"""A function for ``mapInArrow``: called once per task with all its batches."""

Content = tuple[int, str]
"""A content's network, and its id in hexadecimal."""

Skipped = Accumulator[dict[Content, str]]
"""Contents that were skipped, with what went wrong, the smallest ids of all; a task that is repeated adds nothing."""

_KEPT = 1000
"""Of so many ids the rest can be counted: ids are spread evenly. Its error is then some 3 %."""

NAMES = ("network", "oid")
"""Columns that name a content."""

_NOT_THEIRS = (str(Path(__file__).parents[1]), sys.prefix, sys.base_prefix)
"""Where code lies that the person did not write."""

_SAID = re.compile(r"content ([0-9a-f]{40}) of network (-?\d+): (.*)")
_MOST_WORDS = 200


class BadContent(UsageError):
    """A function failed on a content. ``problem`` says how, and where in the function's own code."""

    def __init__(self, network: int, oid: str, problem: str) -> None:
        super().__init__(network, oid, problem)
        self.network, self.oid, self.problem = network, oid, problem

    def __str__(self) -> str:
        return f"content {self.oid} of network {self.network}: {self.problem}"

    @classmethod
    def parse(cls, text: str) -> BadContent | None:
        """The error of this text, which came from a worker; None if it is none."""
        found = _SAID.search(text)
        return None if found is None else cls(int(found[2]), found[1], found[3])


class _Smallest(AccumulatorParam[dict[Content, str]]):
    """Unites what tasks have skipped, and forgets the larger ids of many."""

    def zero(self, value: dict[Content, str]) -> dict[Content, str]:
        return {}

    def addInPlace(self, value1: dict[Content, str], value2: dict[Content, str]) -> dict[Content, str]:
        value1.update(value2)
        return value1 if len(value1) < 2 * _KEPT else _smallest(value1)


SMALLEST: Final = _Smallest()


def _smallest(found: dict[Content, str]) -> dict[Content, str]:
    return dict(sorted(found.items(), key=lambda item: (item[0][1], item[0][0]))[:_KEPT])


def count_skipped(found: dict[Content, str]) -> tuple[int, bool]:
    """How many contents were skipped, and whether that is exact; else it is estimated by the smallest ids."""
    if len(found) < _KEPT:
        return len(found), True
    (_, largest), _ = list(_smallest(found).items())[-1]
    return round((_KEPT - 1) * (1 << 64) / max(int(largest[:16], 16), 1)), False


def none_skipped(context: SparkContext) -> Skipped:
    """A new count of what is skipped."""
    return context.accumulator({}, SMALLEST)


@dataclass(frozen=True, slots=True)
class Guard:
    """A function over contents, with which content it failed on.

    It takes batches that have the columns ``read``.

    Attributes:
        columns: columns that the function gets, in this order.
        skipped: where contents are counted on which the function fails; None lets such a one end the task. To be able
            to go on, the function is then called once per batch, not once per task.
    """

    function: OnBatches
    columns: tuple[str, ...]
    skipped: Skipped | None = None

    @property
    def read(self) -> tuple[str, ...]:
        """The columns of the function, and those that name a content."""
        return tuple(dict.fromkeys((*self.columns, *NAMES)))

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The function's results.

        Raises:
            BadContent: the function fails on a content, alone.
        """
        return self._strictly(batches) if self.skipped is None else self._skipping(batches, self.skipped)

    def _strictly(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        last: list[pa.RecordBatch] = []

        def given() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                last[:] = [batch]
                yield batch.select(self.columns)

        try:
            yield from self.function(given())
        except PipelineError:
            raise
        except Exception:
            for batch in last:
                for row in _rows(batch):
                    self._try(row)
            raise

    def _skipping(self, batches: Iterable[pa.RecordBatch], skipped: Skipped) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            try:
                results = self._all(batch)
            except Exception:
                results = []
                for row in _rows(batch):
                    try:
                        results += self._try(row)
                    except BadContent as bad:
                        skipped.add({(bad.network, bad.oid): bad.problem})
            yield from results

    def _try(self, row: pa.RecordBatch) -> list[pa.RecordBatch]:
        try:
            return self._all(row)
        except Exception as error:
            raise BadContent(
                row.column("network")[0].as_py(), row.column("oid")[0].as_py().hex(), _told(error)
            ) from error

    def _all(self, batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        return list(self.function(iter([batch.select(self.columns)])))


def _rows(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    return (batch.slice(at, 1) for at in range(len(batch)))


def _told(error: Exception) -> str:
    """An error, and the last place in the person's own code."""
    all_ = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in all_ if not frame.filename.startswith(_NOT_THEIRS)]
    where = f" at {frames[-1].filename}, line {frames[-1].lineno}, in {frames[-1].name}" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_MOST_WORDS]}{where}"
