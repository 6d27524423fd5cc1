"""Parts of Iceberg's Java API that housekeeping needs and the nightly steps do not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # py4j has no types

from pipeline.model.errors import PipelineError
from pipeline.rules.retention import History
from pipeline.tables.conflicts import is_conflict
from pipeline.tables.iceberg import IcebergTable, JavaObject, NewFile

_DELETED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Manifests:
    """Manifests of a table: ``of`` maps each snapshot to its manifests, ``lists`` to the file that names them."""

    of: dict[int, frozenset[str]]
    lists: dict[int, str]
    handles: dict[str, JavaObject]


class FilesChanged(PipelineError):
    """Files that were to be replaced have changed."""

    retryable = True

    def __init__(self, table: str, problem: str) -> None:
        super().__init__(table, problem)
        self.table, self.problem = table, problem

    def __str__(self) -> str:
        return f"{self.table}: another run changed the files that were being compacted. Compact again. {self.problem}"


class OtherDeletes(PipelineError):
    """A bucket has deletes other than deletion vectors."""

    def __init__(self, table: str, bucket: int, uri: str) -> None:
        super().__init__(table, bucket, uri)
        self.table, self.bucket, self.uri = table, bucket, uri

    def __str__(self) -> str:
        return (
            f"{self.table}: {self.uri} deletes rows of bucket {self.bucket} in a way that only Spark reads; rewrite "
            "the table's files with Iceberg's rewrite_data_files, then compact again"
        )


@dataclass(frozen=True, slots=True)
class Vector:
    """The deletion vector of a data file: the URI of the file that holds it, and its place there."""

    uri: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class BucketFiles:
    """The files of a bucket in a snapshot, as Iceberg objects. ``vectors``: by URI of the data file."""

    snapshot: int
    data: tuple[JavaObject, ...]
    deletes: tuple[JavaObject, ...]
    vectors: Mapping[str, Vector]

    def uris(self) -> list[str]:
        """The data files, sorted."""
        return sorted(str(file.location()) for file in self.data)


@dataclass(frozen=True, slots=True)
class NamedSnapshot:
    """A snapshot that readers find: the current one, one with tags, or both."""

    id: int
    tags: tuple[str, ...]
    current: bool


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A data file of a snapshot and the deletes that apply to it, as Iceberg objects."""

    uri: str
    handle: JavaObject
    deletes: tuple[JavaObject, ...]


@dataclass(frozen=True, slots=True)
class SnapshotRewrite:
    """Changes to a snapshot: files to remove, and Iceberg's records of files to add."""

    snapshot: NamedSnapshot
    gone: tuple[LiveFile, ...]
    new: tuple[JavaObject, ...]


class MaintainedTable(IcebergTable):
    """A table as housekeeping sees it; a handle caches what it reads, so use a new handle to see changes."""

    def history(self) -> list[History]:
        """All snapshots, in no particular order."""
        return [History(found.id, found.parent, found.timestamp_ms / 1000) for found in self.snapshots()]

    def rename_tags(self, names: Sequence[tuple[str, str]]) -> None:
        """Rename tags, all in one commit; a name that already exists stays unchanged."""
        tags = self.tags()
        change = self._java.manageSnapshots()
        for old, new in names:
            if new not in tags:
                change = change.createTag(new, tags[old])
            change = change.removeTag(old)
        with self.committing():
            change.commit()

    def remove_tags(self, names: Iterable[str]) -> None:
        """Remove tags, all in one commit."""
        change = self._java.manageSnapshots()
        for name in names:
            change = change.removeTag(name)
        with self.committing():
            change.commit()

    def manifests(self) -> Manifests:
        """The manifests of all snapshots, of data and of deletes."""
        of, lists, handles = {}, {}, {}
        for snapshot in list(self._java.snapshots()):
            found = {str(manifest.path()): manifest for manifest in snapshot.allManifests(self._java.io())}
            handles.update(found)
            of[snapshot.snapshotId()] = frozenset(found)
            lists[snapshot.snapshotId()] = str(snapshot.manifestListLocation())
        return Manifests(of, lists, handles)

    def manifest_lengths(self) -> list[int]:
        """Bytes of each manifest of the current state."""
        snapshot = self._java.currentSnapshot()
        return [] if snapshot is None else [m.length() for m in list(snapshot.allManifests(self._java.io()))]

    def live_files(self, manifest: JavaObject) -> set[str]:
        """The live data or delete files of a manifest. One call to the JVM, however many there are."""
        paths = self._class("ManifestFiles").readPaths(manifest, self._java.io(), self._java.specs())
        try:
            joined = self._class("String", "java.lang").join("\n", paths)
        finally:
            paths.close()
        return set(joined.split("\n")) - {""}

    def expire(self, snapshots: Collection[int]) -> None:
        """Forget exactly these snapshots, in one commit; their files stay.

        Raises:
            Py4JJavaError: a branch or tag names one of them, or one is gone.
        """
        expiry = self._java.expireSnapshots().expireOlderThan(0).cleanExpiredFiles(False)
        for snapshot in snapshots:
            expiry = expiry.expireSnapshotId(snapshot)
        with self.committing():
            expiry.commit()

    def unreferenced(self, older_than: float) -> list[str]:
        """Files in the table's folder, last changed before a time, that no snapshot of it needs. Deletes nothing.

        Hidden files are skipped. Listing and comparing are Spark jobs.

        Args:
            older_than: seconds since 1970 UTC.
        """
        actions = self._class("spark.actions.SparkActions").get(self._spark._jsparkSession)
        keeps_what_it_is_given = self._class("Stream", "java.util.stream").builder()
        action = actions.deleteOrphanFiles(self._java).olderThan(int(older_than * 1000))
        return sorted(map(str, action.deleteWith(keeps_what_it_is_given).execute().orphanFileLocations()))

    def scan_bucket(self, snapshot: int, bucket: int) -> BucketFiles:
        """The live data files of a bucket, and the deletes that apply to them, as of a snapshot.

        Raises:
            OtherDeletes: rows are deleted in a way that nothing here writes.
        """
        condition = self._class("expressions.Expressions").equal("bucket", bucket)
        tasks = self._java.newScan().useSnapshot(snapshot).filter(condition).planFiles()
        try:
            found = list(self._class("relocated.com.google.common.collect.Lists").newArrayList(tasks))
        finally:
            tasks.close()
        deletes = {(d.location(), d.contentOffset()): d for task in found for d in list(task.deletes())}
        vectors = {str(delete.referencedDataFile()): self._vector(delete, bucket) for delete in deletes.values()}
        return BucketFiles(snapshot, tuple(task.file() for task in found), tuple(deletes.values()), vectors)

    def _vector(self, delete: JavaObject, bucket: int) -> Vector:
        uri, offset, length = str(delete.location()), delete.contentOffset(), delete.contentSizeInBytes()
        if str(delete.format()) != "PUFFIN" or offset is None or length is None:
            raise OtherDeletes(self.name, bucket, uri)
        return Vector(uri, int(offset), int(length))

    def replace_files(self, old: BucketFiles, new: Sequence[NewFile], properties: Mapping[str, str]) -> None:
        """Replace exactly the files of a scan with new files, in one commit. Files that others added since stay.

        Raises:
            FilesChanged: others deleted rows of the old files, or replaced them, since the scan; nothing was committed.
        """
        snapshot = self._java.snapshot(old.snapshot)
        if snapshot is None:
            raise FilesChanged(self.name, f"The snapshot {old.snapshot}, which was read, has expired")
        sequence = snapshot.sequenceNumber()
        added = self._read_footers(new)
        transaction = self._java.newTransaction()
        rewrite = transaction.newRewrite().validateFromSnapshot(old.snapshot).dataSequenceNumber(sequence)
        for file in (*old.data, *old.deletes):
            rewrite = rewrite.deleteFile(file)
        for file in added:
            rewrite = rewrite.addFile(file.data_file)
        for key, value in properties.items():
            rewrite.set(key, value)
        try:
            rewrite.commit()
            gone = sum(file.fileSizeInBytes() for file in old.data)
            self._keep_split(transaction, max(self._stored_bytes() - gone, 0), added)
            with self.committing():
                transaction.commitTransaction()
        except Py4JJavaError as error:
            if is_conflict(error):
                raise FilesChanged(self.name, str(error.java_exception.getMessage())) from error
            raise

    def delete_files(self, uris: Sequence[str]) -> None:
        """Delete files through Iceberg's file access, which knows their checksum files; missing files do no harm.

        Raises:
            LeaseLost: this run may no longer write; checked before each thousand.
        """
        for at in range(0, len(uris), _DELETED_AT_ONCE):
            part = self._class("ArrayList", "java.util")()
            for uri in uris[at : at + _DELETED_AT_ONCE]:
                part.add(uri)
            self._may_write()
            self._java.io().deleteFiles(part)

    def named_snapshots(self, tag_pattern: re.Pattern[str]) -> list[NamedSnapshot]:
        """The current snapshot first, then all others with a tag that matches the pattern, each once."""
        current = self._java.currentSnapshot()
        tags: dict[int, list[str]] = {} if current is None else {current.snapshotId(): []}
        for name, id_ in sorted(self.tags().items()):
            if tag_pattern.fullmatch(name):
                tags.setdefault(id_, []).append(name)
        main = None if current is None else current.snapshotId()
        return [NamedSnapshot(id_, tuple(names), id_ == main) for id_, names in tags.items()]

    def live(self, snapshot: int, buckets: Collection[int]) -> list[LiveFile]:
        """The live data files of some buckets in a snapshot, each with its deletion vector."""
        tasks = self._java.newScan().useSnapshot(snapshot).filter(self._in_buckets(buckets)).planFiles()
        try:
            found = list(self._class("relocated.com.google.common.collect.Lists").newArrayList(tasks))
        finally:
            tasks.close()
        return [LiveFile(str(task.file().location()), task.file(), tuple(task.deletes())) for task in found]

    def field_ids(self) -> dict[str, int]:
        """Iceberg's column ids of the table."""
        return {names["names"][0]: names["field-id"] for names in json.loads(self.name_mapping())}

    def registered(self, file: NewFile) -> JavaObject:
        """Iceberg's record of a file to add."""
        return self._registered(file).data_file

    def rewrite_snapshots(
        self, rewrites: Sequence[SnapshotRewrite], retired_name: Callable[[str], str], properties: Mapping[str, str]
    ) -> None:
        """Give the table and its tags new snapshots in which some files are replaced, all in one commit.

        The old snapshot of a tag keeps the tag's retired name, for whoever is reading it.

        Args:
            retired_name: maps a tag to the new name of its old snapshot.

        Raises:
            FilesChanged: others deleted rows of the old files, or replaced them; nothing was committed.
        """
        transaction = self._java.newTransaction()
        try:
            for rewrite in rewrites:
                branch = "main" if rewrite.snapshot.current else f"takedown-{rewrite.snapshot.id}"
                if not rewrite.snapshot.current:
                    transaction.manageSnapshots().createBranch(branch, rewrite.snapshot.id).commit()
                change = transaction.newRewrite().toBranch(branch).validateFromSnapshot(rewrite.snapshot.id)
                for old in rewrite.gone:
                    for handle in (old.handle, *old.deletes):
                        change = change.deleteFile(handle)
                for data_file in rewrite.new:
                    change = change.addFile(data_file)
                for key, value in properties.items():
                    change = change.set(key, value)
                change.commit()
                now = transaction.table().refs()[branch].snapshotId()
                manage = transaction.manageSnapshots()
                for tag in rewrite.snapshot.tags:
                    manage = manage.createTag(retired_name(tag), rewrite.snapshot.id).replaceTag(tag, now)
                if not rewrite.snapshot.current:
                    manage = manage.removeBranch(branch)
                manage.commit()
            with self.committing():
                transaction.commitTransaction()
        except Py4JJavaError as error:
            if "ValidationException" in str(error.java_exception.getClass().getName()):
                raise FilesChanged(self.name, str(error.java_exception.getMessage())) from error
            raise
