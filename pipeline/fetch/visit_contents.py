"""Contents of a visit, in the process that has them: few are sent to the fetch task, many become a file here.

On the way to the task each byte is copied three times, into memory that the kernel clears (decision 73). Here it is
copied once, into its page, while it is still near the processor (decision 79). A file is given to the task whole, after
the last row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.fetch.contents_file import HEAD_PAGE_BYTES, LARGE_PAGE_BYTES, ContentsFile, Page, PageBuffer
from pipeline.fetch.local_file import LocalFile
from pipeline.fetch.page_compression import How
from pipeline.fetch.parcel import Parcel
from pipeline.model.tables import CONTENTS

_OBJECT_BYTES: Final = 64
"""About what Python needs for a content besides its bytes."""

_PAGE_PART: Final = 2
"""Half of a run is a page, unless that is more than a page may have."""

_HELD_PART: Final = 4
"""A quarter of a run is held before a file is begun. Other columns of a page have as much at most: a row group of tiny
contents is not much larger than others."""

_RUN_PARTS: Final = 4
"""Quarters of a run that are allowed for: what is held, other columns of two pages, and a copy of those of one."""

_WRITING_BYTES: Final = 2 * HEAD_PAGE_BYTES + 5 * LARGE_PAGE_BYTES
"""Address space that is needed to fill and write pages: one at HEAD with zstd's tables, one of the history, the room
for its compressed form, that form, which is as large at worst, and twice as much for zstd's window and tables and all
else."""


class _OpenPage:
    """Rows whose page is being filled: all are at HEAD, or none."""

    def __init__(self, most_bytes: int, how: How, *, at_head: bool) -> None:
        self.at_head = at_head
        self.buffer = PageBuffer(most_bytes, how)
        self.others: list[pa.RecordBatch] = []
        self.others_bytes = 0

    def add_others(self, rows: pa.RecordBatch) -> None:
        """Add the other columns of rows whose contents are in the page."""
        self.others.append(rows)
        self.others_bytes += rows.nbytes + _OBJECT_BYTES * len(rows)

    def take(self) -> tuple[pa.Table, Page]:
        """The rows' other columns, and their contents as a page."""
        others = pa.Table.from_batches(self.others).combine_chunks()
        self.others, self.others_bytes = [], 0
        return others, self.buffer.page(at_head=self.at_head)

    def release(self) -> None:
        """Forget the rows, and give the memory back."""
        self.others, self.others_bytes = [], 0
        self.buffer.release()


class VisitContents:
    """Collects contents in pages, those at HEAD beside the others, in order of arrival. Use for one turn.

    Args:
        folder: on the same disk as the task's files.
        run_bytes: of a run of the task; a page has half of it, 128 MiB at most, 30 at HEAD.
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
        self._ask_for_room, self._take, self._allow = ask_for_room, take, allow
        self._most_held, self._held = run_bytes // _HELD_PART, 0
        self._parcels: deque[Parcel] = deque()
        self._file: ContentsFile | None = None
        page_bytes = run_bytes // _PAGE_PART
        self._heads = _OpenPage(min(page_bytes, HEAD_PAGE_BYTES), how, at_head=True)
        self._history = _OpenPage(min(page_bytes, LARGE_PAGE_BYTES), how, at_head=False)
        self._rows = self._raw_bytes = 0

    def add(self, parcel: Parcel) -> None:
        """Add rows of ``contents``. With more than a quarter of a run, a file is begun, and full pages are written.

        Raises:
            LimitExceeded: the visit would hold too much of scratch.
            MemoryError: there is not enough to fill or compress a page.
            OSError: scratch cannot be written.
        """
        if self._file is None:
            if not self._parcels:
                self._allow(_RUN_PARTS * self._most_held + _WRITING_BYTES)
            size = _size(parcel)
            if self._held + size <= self._most_held:
                self._parcels.append(parcel)
                self._held += size
                return
            self._ask_for_room()
            self._file = ContentsFile(CONTENTS, self._path)
            while self._parcels:
                self._fill(self._file, self._parcels.popleft())
        self._fill(self._file, parcel)

    def finish(self) -> LocalFile | None:
        """Write what is left and close; None if there was little.

        Raises as ``add`` does.
        """
        if self._file is None:
            return None
        for page in (self._heads, self._history):
            if page.others:
                self._write(self._file, page)
            page.release()
        self._file.close()
        return LocalFile(CONTENTS.name, self._path, self._rows, self._raw_bytes)

    def rest(self) -> Iterator[Parcel]:
        """The rows that are in no file; each is let go of when the next is asked for."""
        while self._parcels:
            yield self._parcels.popleft()

    def drop(self) -> None:
        """Delete the file, and let go of all that is held."""
        self._parcels.clear()
        for page in (self._heads, self._history):
            page.release()
        if self._file is not None:
            self._file.abandon()

    def _fill(self, file: ContentsFile, parcel: Parcel) -> None:
        self._rows += len(parcel.contents)
        self._raw_bytes += parcel.raw_bytes
        at_head = parcel.others["at_head"]
        for page, rows in ((self._history, pc.invert(at_head)), (self._heads, at_head)):
            others, contents = _those(parcel, rows)
            begin = 0
            for at, content in enumerate(contents):
                if not page.buffer.fits(len(content)):
                    page.add_others(others.slice(begin, at - begin))
                    self._write(file, page)
                    begin = at
                page.buffer.add(content)
            if contents:
                page.add_others(others.slice(begin))
            if page.others_bytes > self._most_held:
                self._write(file, page)

    def _write(self, file: ContentsFile, page: _OpenPage) -> None:
        before = self._path.stat().st_size
        others, full = page.take()
        file.write_group(others, [full])
        self._take(self._path.stat().st_size - before)


def _those(parcel: Parcel, rows: pa.BooleanArray) -> tuple[pa.RecordBatch, Sequence[bytes | memoryview]]:
    """Some of the rows: their other columns and their contents."""
    if rows.true_count == len(rows):
        return parcel.others, parcel.contents
    return parcel.others.filter(rows), list(compress(parcel.contents, rows.to_pylist()))


def _size(parcel: Parcel) -> int:
    others: int = parcel.others.nbytes
    return others + parcel.raw_bytes + _OBJECT_BYTES * len(parcel.contents)
