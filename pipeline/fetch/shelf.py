"""What one worker of a task has learnt from data files, for the others: each file is opened by one of them only.

Look-ups belong to the turns of a task's visits (``Outbox.turn``), so a worker finds what those before it have put here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from pipeline.fetch.opened_files import OpenedFiles

_SUFFIX = ".arrow"


class Shelf:
    """A folder on scratch, which is made when something is put there. A full disk only costs what is not shared.

    Args:
        folder: the same for all workers of a task.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[str] = set()

    def put(self, table: str, opened: OpenedFiles) -> None:
        """Let others know what was opened of a table, all at once."""
        name = f"{table}-{uuid4().hex}{_SUFFIX}"
        making = self._folder / f".{name}"
        self._seen.add(name)
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            try:
                opened.write(making)
                making.rename(self._folder / name)
            finally:
                making.unlink(missing_ok=True)

    def take(self, table: str) -> Iterator[OpenedFiles]:
        """What others have put here for a table since the last call."""
        names: list[str] = []
        with suppress(OSError):
            names = os.listdir(self._folder)
        for name in names:
            if name.startswith(f"{table}-") and name not in self._seen:
                self._seen.add(name)
                with suppress(OSError, pa.ArrowException):
                    yield OpenedFiles.mapped(self._folder / name)
