"""Contents for Python functions, from data files that Spark's Python workers open themselves.

In Spark's own path, content becomes a Java array, a row and an Arrow buffer, and goes through a socket before Python
has it. A worker that reads the file has it in an Arrow buffer at once (decision 11). Spark still distributes the work:
a task is some row groups of the files of a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.storage.interface import Storage
from pipeline.storage.parquet import ArchiveFile, open_data_file
from pipeline.tables.content_guard import Guard

BATCH_ROWS = 256
"""Rows per batch that a function gets: a worker holds their content and the pages that it comes from."""

WHOLE_FILE = -1


def row_groups(files: DataFrame) -> DataFrame:
    """The row groups of a snapshot, from its metadata table ``files``: columns path (URI of a file) and group.

    Groups count from 0; the group is ``WHOLE_FILE`` if the metadata do not say how many a file has.
    """
    # Iceberg returns null offsets unless file_size_in_bytes is also selected.
    known = (F.col("file_size_in_bytes") > 0) & (F.size("split_offsets") > 0)
    groups = F.when(known, F.sequence(F.lit(0), F.size("split_offsets") - 1)).otherwise(F.array(F.lit(WHOLE_FILE)))
    return files.where("content = 0").select(F.col("file_path").alias("path"), F.explode(groups).alias("group"))


@dataclass(frozen=True, slots=True)
class Reader:
    """Runs in a worker: opens row groups and hands their rows to a function.

    Attributes:
        head_only: leave out rows that are not at HEAD; row groups without any at HEAD are not read.
        below: only networks below this number, see ``sampled_below``; None for all.
    """

    storage: Storage
    head_only: bool
    function: Guard
    below: int | None = None

    def __call__(self, places: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        """The function's results for all row groups at these places.

        Raises:
            StoredFileDamaged: a file is gone or cannot be decoded.
            StorageError: a file cannot be read for another reason, or is not below the archive's root.
        """
        return self.function(self._batches(places))

    def _batches(self, places: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows = (row for batch in places for row in batch.to_pylist())
        for uri, groups in groupby(rows, key=itemgetter("path")):
            with open_data_file(self.storage, uri) as file:
                whole = range(file.num_row_groups)
                for place in groups:
                    for group in whole if place["group"] == WHOLE_FILE else (place["group"],):
                        yield from self._rows(file, group)

    def _rows(self, file: ArchiveFile, group: int) -> Iterator[pa.RecordBatch]:
        some, all_ = _at_head(file, group) if self.head_only else (True, True)
        some_below, all_below = (True, True) if self.below is None else _below(file, group, self.below)
        if not (some and some_below):
            return
        wanted = list(dict.fromkeys([*self.function.read, *(() if all_ else ("at_head",))]))
        for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=wanted, use_threads=False):
            rows = batch if all_ else batch.filter(batch.column("at_head"))
            yield rows if all_below else rows.filter(pc.less(rows.column("network"), self.below))


def _at_head(file: ArchiveFile, group: int) -> tuple[bool, bool]:
    """Whether some rows of a row group are at HEAD, and whether all are, according to checked statistics."""
    bounds = file.bounds(group, "at_head")
    return (True, False) if bounds is None else (bounds[1], bounds[0])


def _below(file: ArchiveFile, group: int, below: int) -> tuple[bool, bool]:
    """The same for networks below a number."""
    bounds = file.bounds(group, "network")
    return (True, False) if bounds is None else (bounds[0] < below, bounds[1] < below)
