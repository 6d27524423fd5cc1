"""Restore a repository from the tables: the refs of a night, and exactly the objects that they lead to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path

from pyspark.sql import Row
from pyspark.sql import functions as F

from pipeline.errors import CheckFailed, UsageError
from pipeline.fetch.skeleton import Skeleton
from pipeline.git.restore import write_repository
from pipeline.model.objects import BLOB, GitObject
from pipeline.model.visit import VisitStatus
from pipeline.read.archive import Archive
from pipeline.read.reachable import reachable
from pipeline.read.status import OriginNotFound
from pipeline.rules.negotiation import Ref
from pipeline.rules.restore import lay_out
from pipeline.tables.doubles import one_row_a_url

_OBJECTS = ("blobs", "commits", "tags", "trees", "contents")


class ObjectsMissing(CheckFailed):
    """The archive lacks objects that a repository needs."""

    def __init__(self, url: str, count: int, example: str) -> None:
        super().__init__(url, count, example)
        self.url, self.count, self.example = url, count, example

    def __str__(self) -> str:
        return f"{self.url} needs {self.count} objects that the archive lacks, such as {self.example}"


class NeverArchived(UsageError):
    """No visit to the origin succeeded by that night, so its content is unknown."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url

    def __str__(self) -> str:
        return f"{self.url} was never archived: no visit succeeded; `pipeline status {self.url}` shows why"


@dataclass(frozen=True, slots=True)
class RestoredRepository:
    """What was written.

    Attributes:
        not_stored: number of known objects that the archive does not keep, such as blobs over the size limit.
        refs_not_stored: number of refs to them, which are left out.
        refs_left_out: number of refs left out because git refuses their names.
        refs_plain: number of symbolic refs written as plain ones; see ``rules.restore.Layout``.
    """

    url: str
    night: date | None
    directory: Path
    refs: int
    objects: int
    not_stored: int
    refs_not_stored: int
    refs_left_out: int
    refs_plain: int

    @property
    def is_whole(self) -> bool:
        """Whether no object is missing."""
        return not self.not_stored


def restore_repository(archive: Archive, url: str, directory: Path, scratch: Path) -> RestoredRepository:
    """Write a bare repository as of the archive's night.

    Args:
        directory: must not exist, or be empty.
        scratch: local folder for the network's commits, tags and trees while restoring.

    Raises:
        OriginNotFound: by that night the archive had not visited such an origin.
        NeverArchived: it had, but no visit succeeded.
        NightNotFound: there is no such night.
        StoredFileDamaged: a file of its refs is damaged, or one that made something seem missing.
        ObjectsMissing: the archive is damaged; nothing is written.
        UsageError: the directory is in use.
    """
    network, bucket = _place(archive, url)
    archive.check_footers(["refs"], bucket)
    rows = archive.refs_at(url, network=network)
    if not rows and not _ever_ended_well(archive, url, bucket):
        archive.check_footers(["visits"], bucket)
        raise NeverArchived(url)
    absent = _not_stored(archive, network, bucket)
    shown = _refs(rows)
    layout = lay_out(shown, absent)
    scratch.mkdir(parents=True, exist_ok=True)
    tips = set(layout.refs.values())
    if layout.head.oid is not None:
        tips.add(layout.head.oid)
    with Skeleton(scratch) as skeleton:
        blobs = _fill(skeleton, archive.objects(network, bucket))
        wanted = reachable(skeleton, tips)
        lacking = set(wanted)
        not_stored = absent & (wanted | {ref.target for ref in shown.values() if ref.target is not None})

        def objects() -> Iterator[GitObject]:
            for found in chain(skeleton.objects(), blobs):
                if found.oid in wanted:
                    lacking.discard(found.oid)
                    yield found
            lacking.difference_update(not_stored)
            if lacking:
                archive.check_footers(_OBJECTS, bucket)
                raise ObjectsMissing(url, len(lacking), min(lacking).hex())

        written = write_repository(directory, objects(), layout.refs, layout.head, layout.symrefs)
    return RestoredRepository(
        url,
        archive.night(),
        directory,
        written.refs,
        written.objects,
        len(not_stored),
        len(layout.not_stored),
        len(layout.left_out),
        len(layout.plain) + len(written.plain),
    )


def _place(archive: Archive, url: str) -> tuple[int, int]:
    """The network and bucket of an origin that was visited by the archive's night."""
    origins = archive.table("origins").where((F.col("url") == url) & F.col("last_visit").isNotNull())
    found = one_row_a_url(origins).collect()
    if not found:
        archive.check_footers(["origins"])
        raise OriginNotFound(url)
    return found[0]["network"], found[0]["bucket"]


def _ever_ended_well(archive: Archive, url: str, bucket: int) -> bool:
    good = F.col("status").isin([str(status) for status in VisitStatus if status.ok])
    mine = (F.col("bucket") == bucket) & (F.col("origin") == url)
    return not archive.table("visits").where(mine & good).limit(1).isEmpty()


def _not_stored(archive: Archive, network: int, bucket: int) -> set[bytes]:
    mine = (F.col("bucket") == bucket) & (F.col("network") == network) & (F.col("stored") != "yes")
    too_large = {bytes(row["oid"]) for row in archive.table("blobs").where(mine).select("oid").collect()}
    return too_large | archive.taken_down(network)


def _fill(skeleton: Skeleton, stream: Iterator[GitObject]) -> Iterator[GitObject]:
    """Put everything before the first blob into the skeleton; return the blobs."""
    for found in stream:
        if found.type is BLOB:
            return chain([found], stream)
        skeleton.add(*found)
    return iter(())


def _refs(rows: list[Row]) -> dict[bytes, Ref]:
    refs = {}
    for row in rows:
        name = bytes(row["name_raw"]) if row["name_raw"] is not None else row["name"].encode()
        target = None if row["target"] is None else bytes(row["target"])
        refs[name] = Ref(target, None if row["symref"] is None else _symref(row))
    return refs


def _symref(row: Row) -> bytes:
    return bytes(row["symref_raw"]) if row["symref_raw"] is not None else str(row["symref"]).encode()
