"""Builds a table's next state on a branch that nobody reads, until it becomes the current state or a night."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # py4j has no types

from pipeline.storage.interface import Storage
from pipeline.tables.iceberg import NewFile
from pipeline.tables.maintained import FilesChanged, MaintainedTable

BRANCH = "fsck_repair"
"""One at a time, under the lease; a later repair starts the branch of a killed one again."""

MAIN = "main"


class BranchedTable(MaintainedTable):
    """A table whose states are rebuilt without damaged files."""

    def begin(self, storage: Storage, snapshot: int, bucket: int, without: Collection[str]) -> int:
        """Create a branch at a snapshot, without some data files of a bucket; return its snapshot.

        Args:
            without: paths below the archive's root; need not exist.
        """
        self.drop_branch()
        with self.committing():
            self._java.manageSnapshots().createBranch(BRANCH, snapshot).commit()
        going = [f for f in self.scan_bucket(snapshot, bucket).data if storage.path_of(str(f.location())) in without]
        if going:
            deletion = self._java.newDelete().toBranch(BRANCH)
            for file in going:
                deletion = deletion.deleteFile(file)
            deletion.set("pipeline.repaired", str(bucket))
            with self.committing():
                deletion.commit()
        return self.head()

    def head(self) -> int:
        """The snapshot of the branch."""
        self._java.refresh()
        return int(self._java.refs()[BRANCH].snapshotId())

    def add(self, files: Sequence[NewFile]) -> None:
        """Register files on the branch, in one commit."""
        if not files:
            return
        append = self._java.newAppend().toBranch(BRANCH)
        for file in self._read_footers(files):
            append = append.appendFile(file.data_file)
        with self.committing():
            append.commit()

    def become_current(self) -> None:
        """Make the branch the current state, if that is still the one that the branch started from.

        Raises:
            FilesChanged: another run has committed since; nothing was changed.
        """
        try:
            with self.committing():
                self._java.manageSnapshots().fastForwardBranch(MAIN, BRANCH).removeBranch(BRANCH).commit()
        except Py4JJavaError as error:
            raise FilesChanged(self.name, str(error.java_exception.getMessage())) from error

    def become_tags(self, tags: Iterable[str]) -> None:
        """Point tags to the branch's state, in one commit."""
        head, change = self.head(), self._java.manageSnapshots()
        for tag in tags:
            change = change.replaceTag(tag, head)
        with self.committing():
            change.removeBranch(BRANCH).commit()

    def drop_branch(self) -> None:
        """Drop the branch, if it exists."""
        if BRANCH in self.branches():
            with self.committing():
                self._java.manageSnapshots().removeBranch(BRANCH).commit()
            self._java.refresh()
