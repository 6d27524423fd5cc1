"""Contents of a visit, in the process that has them: few are sent to the fetch task, many become a file here.

On the way to the task each byte is copied three times, into memory that the kernel clears (decision 73). A file is
given to the task whole, after the last row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.fetch.contents_file import HEAD_PAGE_BYTES, LARGE_PAGE_BYTES, ContentsFile, PageBuffer
from pipeline.fetch.landing import most_waiting
from pipeline.fetch.local_file import LocalFile
from pipeline.fetch.page_compression import How
from pipeline.fetch.parcel import Parcel
from pipeline.fetch.row_groups import content_groups
from pipeline.model.tables import CONTENTS

_OBJECT_BYTES: Final = 64
"""About what Python needs for a content besides its bytes."""

_WRITING_BYTES: Final = HEAD_PAGE_BYTES + 5 * LARGE_PAGE_BYTES
"""Address space that is needed to write a run: what waits at HEAD, a page, the room for its compressed form, that form,
which is as large at worst, and twice as much for zstd's window and tables and all else."""


@dataclass(slots=True)
class _Pile:
    """Rows that share pages: all are at HEAD, or none."""

    parcels: list[Parcel] = field(default_factory=list)
    held: int = 0

    def add(self, parcel: Parcel) -> None:
        self.parcels.append(parcel)
        self.held += _size(parcel)

    def take(self) -> tuple[pa.Table, list[memoryview], int]:
        """Everything: the other columns, the contents, and their bytes."""
        others = pa.Table.from_batches([parcel.others for parcel in self.parcels]).combine_chunks()
        contents = [memoryview(content) for parcel in self.parcels for content in parcel.contents]
        raw_bytes = sum(parcel.raw_bytes for parcel in self.parcels)
        self.parcels.clear()
        self.held = 0
        return others, contents, raw_bytes


class VisitContents:
    """Collects contents in runs, those at HEAD beside the others. Use for one turn.

    Args:
        folder: on the same disk as the task's files.
        run_bytes: of a run, with what Arrow and Python need for it.
        ask_for_room: called before the file is begun.
        take: counts bytes of scratch.
        allow: allows for bytes of memory, called once, with the first rows.
        how: how pages are compressed.
    """

    def __init__(
        self,
        folder: Path,
        run_bytes: int,
        ask_for_room: Callable[[], None],
        take: Callable[[int], None],
        allow: Callable[[int], None],
        how: How,
    ) -> None:
        self._path = folder / "contents.parquet"
        self._run_bytes, self._ask_for_room, self._take, self._allow = run_bytes, ask_for_room, take, allow
        self._parcels: deque[Parcel] = deque()
        self._held = 0
        self._heads, self._history = _Pile(), _Pile()
        self._file: ContentsFile | None = None
        self._pages = PageBuffer(how=how)
        self._rows = self._raw_bytes = 0

    def add(self, parcel: Parcel) -> None:
        """Add rows of ``contents``. With more than a run of them, a file is begun, and full runs and pages are written.

        Raises:
            LimitExceeded: the visit would hold too much of scratch.
            OSError: scratch cannot be written.
        """
        if self._file is None:
            if not self._parcels:
                self._allow(self._run_bytes + _WRITING_BYTES)
            size = _size(parcel)
            if self._held + size <= self._run_bytes:
                self._parcels.append(parcel)
                self._held += size
                return
            self._ask_for_room()
            self._file = ContentsFile(CONTENTS, self._path, self._pages)
            while self._parcels:
                self._sort(self._file, self._parcels.popleft())
        self._sort(self._file, parcel)

    def finish(self) -> LocalFile | None:
        """Write what is left and close; None if there was never more than a run.

        Raises as ``add`` does.
        """
        if self._file is None:
            return None
        for pile in (self._heads, self._history):
            if pile.parcels:
                self._write(self._file, pile)
        self._file.close()
        self._pages.release()
        return LocalFile(CONTENTS.name, self._path, self._rows, self._raw_bytes)

    def rest(self) -> Iterator[Parcel]:
        """The rows that are in no file; each is let go of when the next is asked for."""
        while self._parcels:
            yield self._parcels.popleft()

    def drop(self) -> None:
        """Delete the file, and let go of all that is held."""
        self._parcels.clear()
        self._heads, self._history = _Pile(), _Pile()
        self._pages.release()
        if self._file is not None:
            self._file.abandon()

    def _sort(self, file: ContentsFile, parcel: Parcel) -> None:
        """Add rows to the piles. Others than those at HEAD have at most a run, both together 30 MiB more."""
        at_head = parcel.others["at_head"]
        if (part := _those(parcel, pc.invert(at_head))).contents:
            if self._history.parcels and self._history.held + _size(part) > self._run_bytes:
                self._write(file, self._history)
            self._history.add(part)
        if (part := _those(parcel, at_head)).contents:
            self._heads.add(part)
        room = self._run_bytes + most_waiting(self._run_bytes)
        if self._heads.parcels and self._heads.held + self._history.held > room:
            self._write(file, self._heads)

    def _write(self, file: ContentsFile, pile: _Pile) -> None:
        others, contents, raw_bytes = pile.take()
        before = self._path.stat().st_size
        for group in content_groups(CONTENTS, others, contents, history_only=False):
            file.write_group(group.others, group.contents, at_head=group.at_head)
            self._rows += len(group.others)
        self._raw_bytes += raw_bytes
        self._take(self._path.stat().st_size - before)


def _those(parcel: Parcel, rows: pa.BooleanArray) -> Parcel:
    """Some of the rows."""
    if rows.true_count == len(rows):
        return parcel
    contents = list(compress(parcel.contents, rows.to_pylist()))
    return Parcel(parcel.table, parcel.others.filter(rows), contents, sum(map(len, contents)))


def _size(parcel: Parcel) -> int:
    others: int = parcel.others.nbytes
    return others + parcel.raw_bytes + _OBJECT_BYTES * len(parcel.contents)
