"""Repairs what a check found, holding the lease: from copies, from remaining rows, and from origins."""

from __future__ import annotations

import logging
from collections.abc import Collection

from pipeline.context.archive import begun_loads
from pipeline.context.run import Run
from pipeline.maintain.fsck.branches import BranchedTable
from pipeline.maintain.fsck.repair_derived import rebuild
from pipeline.maintain.fsck.repair_objects import BucketRepair, at_fault, forget_states_with
from pipeline.maintain.fsck.salvage import Ids
from pipeline.model.tables import DERIVED_NAMES
from pipeline.read.inventory.finding import Finding, Kind
from pipeline.read.inventory.named import read_table, table_folders
from pipeline.read.inventory.record import keep_record
from pipeline.tables.failures import plain_failures
from pipeline.tables.iceberg import LOAD_PROPERTY

logger = logging.getLogger(__name__)


def repair_tables(run: Run, findings: Collection[Finding]) -> tuple[list[str], list[Finding]]:
    """Repair objects and derived tables; return one sentence per repair, and objects that are still missing.

    Raises:
        FilesChanged: another run has committed since; run it again.
        LeaseLost: likewise.
    """
    done: list[str] = []
    left: list[Finding] = []
    bad: dict[str, set[str]] = {}
    with plain_failures(run.storage.root_uri):
        for bucket, files in sorted(at_fault(findings).items()):
            logger.info(
                "bucket %d: repairing %s", bucket, ", ".join(files) or "what is missing", extra={"bucket": bucket}
            )
            repair = BucketRepair(run, bucket, files, _wrong_blobs(findings, bucket))
            repair.repair()
            done += repair.done
            left += repair.left
            for table, paths in files.items():
                bad.setdefault(table, set()).update(paths)
        derived = [f for f in findings if f.table.removeprefix("code.") in DERIVED_NAMES and f.bucket is not None]
        for bucket in sorted({f.bucket for f in derived if f.bucket is not None and f.kind is not Kind.SIDE_CHECKSUM}):
            mine = {f.path for f in derived if f.bucket == bucket and f.path}
            done += rebuild(run.writer(), run.storage, bucket, mine)
            for table in DERIVED_NAMES:
                bad.setdefault(table, set()).update(mine)
        for table, paths in bad.items():
            _forget(run, table, paths)
    if done:
        keep_record(run.storage)
    return done, left


def _forget(run: Run, table: str, paths: set[str]) -> None:
    """Forget past states that are no night and name a file at fault, except those that mark a load as published."""
    folder = table_folders(run.storage)[f"code.{table}"]
    unfinished = {load.name for load, finished in begun_loads(run.storage).items() if not finished}
    branched = run.writer().open(BranchedTable, table)
    forget_states_with(
        branched,
        read_table(run.storage, f"code.{table}", folder),
        paths,
        lambda id_: branched.snapshot(id_).summary.get(LOAD_PROPERTY) in unfinished,
    )


def _wrong_blobs(findings: Collection[Finding], bucket: int) -> Ids:
    return {
        (finding.network, bytes.fromhex(finding.oid))
        for finding in findings
        if finding.bucket == bucket
        and finding.kind is Kind.CONTENT_DISAGREES
        and finding.table == "code.blobs"
        and finding.network is not None
    }
