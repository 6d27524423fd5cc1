"""Restores damaged files from the ledger's copies, and repairs the files that Hadoop and Iceberg keep beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.model.layout import CHECKSUMS
from pipeline.read.inventory.finding import Finding, Kind
from pipeline.read.inventory.ledger import copies, mend_recordings
from pipeline.storage.bytes import has_sides
from pipeline.storage.interface import Storage
from pipeline.storage.paths import side_path
from pipeline.tables.snapshot.metadata import newest_metadata

OF_FILES = (Kind.FILE_MISSING, Kind.FILE_SIZE, Kind.FILE_CHECKSUM, Kind.FILE_UNREADABLE)


def put_back(storage: Storage, findings: Iterable[Finding], check_lease: Callable[[], None]) -> list[str]:
    """Repair what needs neither Spark nor origins; return one sentence per repair.

    The readable part of a damaged recording is recorded again, and the recording is deleted.
    """
    listed = list(findings)
    done = []
    for finding in listed:
        check_lease()
        if finding.kind is Kind.SIDE_CHECKSUM:
            storage.delete(finding.path)
            done.append(f"{finding.path}: removed, the file beside it is intact")
        elif finding.kind is Kind.VERSION_HINT:
            done.append(_hint(storage, finding.path))
    if any(finding.path.startswith(f"{CHECKSUMS}/") for finding in listed):
        check_lease()
        done += [f"{path}: its readable part is recorded again" for path in mend_recordings(storage)]
    damaged = [finding.path for finding in listed if finding.kind in OF_FILES]
    for path, data in sorted(copies(storage, damaged).items()):
        check_lease()
        storage.replace(path, data)
        if has_sides(storage):
            storage.delete(side_path(path))
        done.append(f"{path}: put back from its copy")
    return done


def _hint(storage: Storage, path: str) -> str:
    newest = newest_metadata(storage, path.rsplit("/", 2)[0])
    if newest is not None:
        storage.replace(path, b"%d" % newest[0])
        if has_sides(storage):
            storage.delete(side_path(path))
    return f"{path}: says the newest version again"
