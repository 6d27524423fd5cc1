"""Luigi's view of our storage: something exists, or it does not."""

from __future__ import annotations

import luigi

from pipeline.storage.interface import Storage


class StorageTarget(luigi.Target):
    """A file that a task writes last, in one step, and nobody deletes."""

    def __init__(self, storage: Storage, path: str) -> None:
        self.storage, self.path = storage, path

    def exists(self) -> bool:
        """Whether the file is there.

        Raises:
            StorageUnavailable: nobody knows.
        """
        return self.storage.stat(self.path) is not None
