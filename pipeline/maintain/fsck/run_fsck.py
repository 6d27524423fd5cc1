"""One run of the check."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from pyspark.sql import SparkSession

from pipeline.context.run import hold
from pipeline.context.workplace import Workplace
from pipeline.maintain.fsck.deep import deep as check_objects
from pipeline.maintain.fsck.put_back import put_back
from pipeline.maintain.fsck.quick import (
    Checked,
    Inventory,
    check_files,
    check_loads,
    keep_first_seen,
    still_true,
    take_inventory,
)
from pipeline.maintain.fsck.repair import repair_tables
from pipeline.maintain.fsck.state import Progress, digest_of, keep_report
from pipeline.model.errors import UsageError
from pipeline.read.inventory.finding import Finding, Kind
from pipeline.read.inventory.named import NamedFile
from pipeline.storage.interface import Storage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check.

    Attributes:
        findings: findings; after a repair, those that are left.
        repaired: what was done, one sentence per repair.
        first_seen: number of files without a record; their current state counts from now on.
        resumed: parts that an earlier, killed check had done.
    """

    deep: bool
    buckets: tuple[int, ...]
    findings: tuple[Finding, ...]
    repaired: tuple[str, ...]
    files: int
    size_bytes: int
    objects: int
    first_seen: int
    resumed: int
    seconds: float


@dataclass(slots=True)
class _Sum:
    findings: list[Finding]
    files: int = 0
    size_bytes: int = 0
    objects: int = 0
    first_seen: int = 0
    resumed: int = 0

    def add(self, part: Checked) -> None:
        self.findings += part.findings
        self.files += part.files
        self.size_bytes += part.size_bytes


def run_fsck(
    place: Workplace,
    of_buckets: int | None,
    *,
    deep: bool,
    buckets: tuple[int, ...],
    repair: bool = False,
) -> Report:
    """Check all metadata, and data files and objects of all or some buckets. Changes no table, needs no lease.

    Args:
        of_buckets: number of buckets of the archive; None if unknown.
        repair: repair what is found, holding the lease, and check it again.

    Raises:
        UsageError: the archive does not have such a bucket.
        ArchiveHeld: another run holds the archive, and a repair needs it.
    """
    for bucket in buckets:
        if of_buckets is not None and bucket >= of_buckets:
            raise UsageError(f"the archive has buckets 0 to {of_buckets - 1}, there is no bucket {bucket}")
    began, storage, spark = time.monotonic(), place.storage, place.spark
    if not repair:
        total = _check(storage, spark, deep=deep, buckets=buckets)
        return _report(storage, total, deep=deep, buckets=buckets, done=[], began=began)
    with hold(place, "fsck --repair") as run:
        total = _check(storage, spark, deep=deep, buckets=buckets)
        done = put_back(storage, total.findings, run.check_lease)
        if done:  # only now is it known which files the metadata name
            total = _check(storage, spark, deep=deep, buckets=buckets)
        repaired, left = repair_tables(run, total.findings)
        done += repaired
        if done:
            total = _check(storage, spark, deep=deep, buckets=_touched(total.findings, buckets))
        if not deep:  # a quick check sees no objects
            total.findings += left
        return _report(storage, total, deep=deep, buckets=buckets, done=done, began=began)


def _touched(findings: Sequence[Finding], buckets: tuple[int, ...]) -> tuple[int, ...]:
    """Buckets to check again: those with findings; all that were asked for if a finding has no bucket."""
    found = {finding.bucket for finding in findings if finding.bucket is not None}
    return tuple(sorted(found)) or buckets


def _check(storage: Storage, spark: Callable[[], SparkSession], *, deep: bool, buckets: tuple[int, ...]) -> _Sum:
    inventory = take_inventory(storage)
    total = _Sum(inventory.findings)
    quick(storage, inventory, buckets, total)
    if deep:
        known = {finding.path for finding in total.findings if finding.kind in (Kind.FILE_MISSING, Kind.FILE_SIZE)}
        settled = all(load.finished for load in inventory.loads)
        examined = check_objects(spark(), storage, inventory.tables, buckets, known, settled=settled)
        total.findings += examined.findings
        total.objects += examined.objects
        total.resumed += examined.resumed
    total.findings = list(dict.fromkeys(still_true(storage, inventory, total.findings)))
    return total


def _report(
    storage: Storage, total: _Sum, *, deep: bool, buckets: tuple[int, ...], done: list[str], began: float
) -> Report:
    report = Report(
        deep, buckets, tuple(total.findings), tuple(done), total.files, total.size_bytes, total.objects,
        total.first_seen, total.resumed, round(time.monotonic() - began, 3),
    )  # fmt: skip
    keep_report(storage, asdict(report))
    return report


def quick(storage: Storage, inventory: Inventory, buckets: tuple[int, ...], total: _Sum) -> None:
    """Check documents and metadata, then the data files, part by part."""
    documents = check_loads(storage, inventory)
    landed = inventory.landed
    metadata: list[NamedFile] = []
    parts: dict[str, list[NamedFile]] = defaultdict(list)
    for table in inventory.tables.values():
        for file in table.files():
            if file.bucket is None:
                metadata.append(file)
            elif not buckets or file.bucket in buckets:
                parts[f"bucket {file.bucket}"].append(file)
    of_metadata = check_files(storage, inventory, metadata, landed)
    total.add(documents)
    total.add(of_metadata)
    total.first_seen += keep_first_seen(storage, (documents, of_metadata))
    progress = Progress.resume(storage, "quick")
    seen: list[Checked] = []
    for part, files in sorted(parts.items(), key=lambda item: item[1][0].bucket or 0):
        digest = digest_of(file.path for file in files)
        if progress.has(part, digest):
            total.resumed += 1
            total.findings += progress.findings.get(part, [])
            continue
        checked = check_files(storage, inventory, files, landed)
        total.add(checked)
        seen.append(checked)
        progress.finish(part, digest, checked.findings)
        logger.info("%s: %d files, %d findings", part, checked.files, len(checked.findings))
        if progress.is_due():
            total.first_seen += keep_first_seen(storage, seen)
            progress.write()
            seen.clear()
    total.first_seen += keep_first_seen(storage, seen)
    progress.forget()
