"""Luigi's view of our storage: a file exists, or it does not."""

from __future__ import annotations

import luigi
from pydantic import BaseModel

from pipeline.storage.documents import read_if_whole
from pipeline.storage.interface import Storage


class StorageTarget(luigi.Target):
    """A file that a task writes last, in one step, and that nobody deletes."""

    def __init__(self, storage: Storage, path: str) -> None:
        self.storage, self.path = storage, path

    def exists(self) -> bool:
        """Whether the file is there.

        Raises:
            StorageUnavailable: the storage does not answer.
        """
        return self.storage.stat(self.path) is not None


class RecordTarget(StorageTarget):
    """A file whose content counts, too: a damaged one counts as missing, so that its task writes it again."""

    def __init__(self, storage: Storage, path: str, kind: type[BaseModel]) -> None:
        super().__init__(storage, path)
        self._kind = kind

    def exists(self) -> bool:
        """Whether the file is there and can be read."""
        return read_if_whole(self.storage, self.path, self._kind) is not None
