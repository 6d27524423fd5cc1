"""Contents of a visit, in the process that has them: few are sent to the fetch task, many become a file here.

On the way to the task each byte is copied three times, into memory that the kernel clears (decision 73). A file is
given to the task whole, after the last row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pyarrow as pa

from pipeline.fetch.contents_file import HEAD_PAGE_BYTES, LARGE_PAGE_BYTES, ContentsFile, PageBuffer
from pipeline.fetch.landing import most_waiting
from pipeline.fetch.local_file import LocalFile
from pipeline.fetch.parcel import Parcel
from pipeline.fetch.row_groups import content_groups
from pipeline.model.tables import CONTENTS

_OBJECT_BYTES: Final = 64
"""About what Python needs for a content besides its bytes."""

_WRITING_BYTES: Final = HEAD_PAGE_BYTES + 3 * LARGE_PAGE_BYTES
"""Address space that is needed to write a run: what waits, a page, its compressed form, which is as large at worst, and
as much for zstd's tables and all else."""


class VisitContents:
    """Collects contents in runs. Use for one turn.

    Args:
        folder: on the same disk as the task's files.
        run_bytes: of a run, with what Arrow and Python need for it.
        ask_for_room: called before the first run is written.
        take: counts bytes of scratch.
        allow: allows for bytes of memory, called once, with the first rows.
    """

    def __init__(
        self,
        folder: Path,
        run_bytes: int,
        ask_for_room: Callable[[], None],
        take: Callable[[int], None],
        allow: Callable[[int], None],
    ) -> None:
        self._path = folder / "contents.parquet"
        self._run_bytes, self._ask_for_room, self._take, self._allow = run_bytes, ask_for_room, take, allow
        self._parcels: deque[Parcel] = deque()
        self._held = 0
        self._file: ContentsFile | None = None
        self._pages = PageBuffer()
        self._rows = self._raw_bytes = 0

    def add(self, parcel: Parcel) -> None:
        """Add rows of ``contents``; a full run is written, except for a few rows at HEAD, which wait for the next.

        Raises:
            LimitExceeded: the visit would hold too much of scratch.
            OSError: scratch cannot be written.
        """
        if self._file is None and not self._parcels:
            self._allow(self._run_bytes + _WRITING_BYTES)
        size = parcel.others.nbytes + parcel.raw_bytes + _OBJECT_BYTES * len(parcel.contents)
        if self._held and self._held + size > self._run_bytes:
            if self._file is None:
                self._ask_for_room()
                self._file = ContentsFile(CONTENTS, self._path, self._pages)
            self._write(self._file, most_waiting(self._run_bytes))
        self._parcels.append(parcel)
        self._held += size

    def finish(self) -> LocalFile | None:
        """Write what is left and close; None if no run was ever full.

        Raises as ``add`` does.
        """
        if self._file is None:
            return None
        if self._parcels:
            self._write(self._file, 0)
        self._file.close()
        return LocalFile(CONTENTS.name, self._path, self._rows, self._raw_bytes)

    def rest(self) -> Iterator[Parcel]:
        """The rows that are in no file; each is let go of when the next is asked for."""
        while self._parcels:
            yield self._parcels.popleft()

    def drop(self) -> None:
        """Delete the file."""
        if self._file is not None:
            with suppress(OSError):  # scratch is full: it cannot even be ended
                self._file.close()
            self._path.unlink(missing_ok=True)

    def _write(self, file: ContentsFile, may_wait_bytes: int) -> None:
        others = pa.Table.from_batches([parcel.others for parcel in self._parcels]).combine_chunks()
        contents = [memoryview(content) for parcel in self._parcels for content in parcel.contents]
        raw_bytes = sum(parcel.raw_bytes for parcel in self._parcels)
        self._parcels.clear()
        self._held = 0
        waiting = _few_at_head(others, contents, min(may_wait_bytes, raw_bytes // 2))
        if waiting is not None:
            self._parcels.append(waiting)
            raw_bytes -= waiting.raw_bytes
        before = self._path.stat().st_size
        for group in content_groups(CONTENTS, others, contents, history_only=waiting is not None):
            file.write_group(group.others, group.contents, at_head=group.at_head)
            self._rows += len(group.others)
        self._raw_bytes += raw_bytes
        self._take(self._path.stat().st_size - before)


def _few_at_head(others: pa.Table, contents: list[memoryview], most_bytes: int) -> Parcel | None:
    """The rows at HEAD, if there are any and they take at most so many bytes."""
    at_head = others["at_head"].combine_chunks()
    found = [content for content, is_at_head in zip(contents, at_head.to_pylist(), strict=True) if is_at_head]
    raw_bytes = sum(map(len, found))
    if not 0 < raw_bytes + _OBJECT_BYTES * len(found) <= most_bytes:
        return None
    (batch,) = others.filter(at_head).combine_chunks().to_batches()
    return Parcel(CONTENTS, batch, found, raw_bytes)
