"""Decide what part of a load is published: all that passes the audit. Nothing moves before the decision is written."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

from pyspark.sql import SparkSession

from pipeline.model.errors import CheckFailed, PipelineError
from pipeline.model.layout import RUNS, Load
from pipeline.model.manifest import Manifest
from pipeline.model.verdict import Decision, PublishedBucket
from pipeline.model.visit_counts import DAMAGED, VisitCounts, sum_counts
from pipeline.night.audit import audit
from pipeline.night.finding import Finding
from pipeline.night.landed import Landed, MovingFile, locate
from pipeline.night.quarantine import AuditedManifests
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.tables.damage import damaged_file
from pipeline.tables.isolate import isolate_buckets
from pipeline.tables.writer import Writer

log = logging.getLogger(__name__)


class Unpublishable(CheckFailed):
    """A bucket is at fault although nothing of it is left."""

    def __init__(self, load: str, bucket: int, problem: str) -> None:
        super().__init__(load, bucket, problem)
        self.load, self.bucket, self.problem = load, bucket, problem

    def __str__(self) -> str:
        return f"load {self.load}, bucket {self.bucket}: not even its visits can be published: {self.problem}"


def decide(
    writer: Writer,
    storage: Storage,
    load: Load,
    audited: AuditedManifests,
    before: Decision | None,
    *,
    begun: bool,
) -> tuple[Decision, list[MovingFile]]:
    """The decision on a load, and where its files are now.

    Whatever the audit finds at fault is quarantined, then the rest is audited again: every round leaves less, so this
    ends. A written decision holds. If one of its files has since been lost or damaged, it is decided again; once a
    table has the load, by leaving out the rest of that file's bucket.

    Args:
        before: the decision of an earlier attempt.
        begun: some table has the load, so the audit is over.

    Raises:
        CheckFailed: no bucket is to blame for the unreadable file, or nothing is left to leave out.
    """
    landed: dict[int, Landed] = {}
    if before is not None:
        landed |= {bucket.bucket: bucket for bucket in before.buckets}
        files, findings = locate(storage, load, list(landed.values()))
        if not findings:
            return before, files
        log.error("load %s: files changed after the decision to publish them; deciding again", load.name)
    if before is None or not begun:
        landed |= audited.manifests()
    while True:
        files, findings = locate(storage, load, list(landed.values()))
        if not findings and not begun:
            findings = _audit(writer.spark, storage, files)
        if not findings:
            break
        landed |= _quarantine(writer, load, audited, findings, late=begun)
    decision = _decision(list(landed.values()), audited)
    writer.check_lease()
    storage.replace(load.publishing, decision.model_dump_json(indent=1).encode())
    return decision, files


def read_decision(storage: Storage, load: Load) -> Decision | None:
    """What an earlier attempt decided; None if none got that far."""
    try:
        return read_document(storage, load.publishing, Decision.model_validate_json)
    except FileMissing:
        return None
    except StoredFileDamaged as error:
        log.error("%s; deciding again what is published", error)
        return None


def _decision(landed: Sequence[Landed], audited: AuditedManifests) -> Decision:
    buckets = (PublishedBucket(bucket=each.bucket, attempt=each.attempt, files=each.files) for each in landed)
    return Decision(buckets=tuple(buckets), visits=_counts(audited.manifests().values()))


def _counts(manifests: Iterable[Manifest]) -> VisitCounts:
    return sum_counts([part for each in manifests for part in (each.visits, VisitCounts(damaged=each.damaged))])


def _quarantine(
    writer: Writer, load: Load, audited: AuditedManifests, findings: Iterable[Finding], *, late: bool
) -> dict[int, Manifest]:
    """Leave out what is at fault; the manifests that now stand for its buckets."""
    by_bucket: dict[int, list[Finding]] = {}
    for finding in findings:
        by_bucket.setdefault(finding.bucket, []).append(finding)
    for bucket, mine in sorted(by_bucket.items()):
        if audited.is_out(bucket):
            raise Unpublishable(load.name, bucket, mine[0].problem)
        writer.check_lease()
        audited.quarantine(bucket, mine, late=late)
    return {bucket: audited.manifest(bucket) for bucket in by_bucket}


def _audit(spark: SparkSession, storage: Storage, files: Sequence[MovingFile]) -> list[Finding]:
    """Findings about all buckets; a bucket that the audit cannot fully read is one finding as a whole."""

    def look(buckets: list[int]) -> list[Finding]:
        mine = [file for file in files if file.bucket in buckets]
        uris: dict[str, list[str]] = {}
        counts: Counter[int] = Counter()
        for file in mine:
            uris.setdefault(file.table, []).append(storage.uri(file.path))
            counts[file.bucket] += file.landed.rows
        return audit(spark, uris, counts)

    looked = isolate_buckets(spark, storage, {file.bucket for file in files}, look)
    unreadable = [_unreadable(storage, bucket, error) for bucket, error in looked.failed.items()]
    return [*(finding for findings in looked.done for finding in findings), *unreadable]


def _unreadable(storage: Storage, bucket: int, error: PipelineError) -> Finding:
    if not isinstance(error, StoredFileDamaged):
        return Finding(bucket, None, str(error))
    path = damaged_file(storage, bucket, error)
    if path.startswith(f"{RUNS}/"):
        return Finding(bucket, None, f"{path}: {error.problem}")
    return Finding(bucket, None, f"{path} cannot be read: {error.problem}", DAMAGED, path)
