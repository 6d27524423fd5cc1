"""One run of the check."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass

from pyspark.sql import SparkSession

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.fsck.deep import deep as check_objects
from pipeline.fsck.finding import Finding, Kind
from pipeline.fsck.named import NamedFile
from pipeline.fsck.quick import (
    Checked,
    Inventory,
    check_files,
    check_loads,
    keep_first_seen,
    still_true,
    take_inventory,
)
from pipeline.fsck.state import Progress, digest_of, keep_report
from pipeline.storage.interface import Storage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """What a check came to.

    Attributes:
        first_seen: files that nothing was recorded of; what they are now counts from now on.
        resumed: parts that an earlier check, which was killed, had done.
    """

    deep: bool
    buckets: tuple[int, ...]
    findings: tuple[Finding, ...]
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
    config: Config,
    storage: Storage,
    of_buckets: int | None,
    spark: Callable[[], SparkSession],
    *,
    deep: bool,
    buckets: tuple[int, ...],
) -> Report:
    """Check the archive, or of some buckets data files and objects, and all metadata. Changes no table, needs no lease.

    Raises:
        UsageError: the archive does not have such a bucket.
    """
    for bucket in buckets:
        if of_buckets is not None and bucket >= of_buckets:
            raise UsageError(f"the archive has buckets 0 to {of_buckets - 1}, there is no bucket {bucket}")
    began = time.monotonic()
    inventory = take_inventory(storage)
    total = _Sum(inventory.findings)
    quick(storage, inventory, buckets, total)
    if deep:
        known = {finding.path for finding in total.findings if finding.kind in (Kind.FILE_MISSING, Kind.FILE_SIZE)}
        examined = check_objects(spark(), storage, inventory.tables, buckets, known)
        total.findings += examined.findings
        total.objects += examined.objects
        total.resumed += examined.resumed
    findings = tuple(dict.fromkeys(still_true(storage, inventory, total.findings)))
    report = Report(
        deep, buckets, findings, total.files, total.size_bytes, total.objects, total.first_seen, total.resumed,
        round(time.monotonic() - began, 3),
    )  # fmt: skip
    keep_report(storage, asdict(report))
    return report


def quick(storage: Storage, inventory: Inventory, buckets: tuple[int, ...], total: _Sum) -> None:
    """Documents and metadata first, then the data files, part by part."""
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
