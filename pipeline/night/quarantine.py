"""Quarantine: rows that a network landed are left out of a load, and kept beside it for inspection."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.fetch.bucket_plan import read_bucket_plan
from pipeline.fetch.parquet import PAGE_BYTES, ZSTD_LEVEL, open_parquet
from pipeline.model.layout import Load, landed_name
from pipeline.model.manifest import LandedFile, Manifest
from pipeline.model.tables import BY_NAME, VISITS, Table
from pipeline.model.verdict import Verdict
from pipeline.model.visit import Visit, VisitStatus
from pipeline.model.visit_counts import VisitCounts, count_visits, sum_counts
from pipeline.night.finding import Finding
from pipeline.night.landed import final_path, find
from pipeline.storage.documents import read_document
from pipeline.storage.errors import AlreadyThere, FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file
from pipeline.storage.scratch import locked_folder

log = logging.getLogger(__name__)

_Parts = Iterable[pa.Table]

_UNREADABLE = (StoredFileDamaged, ValueError, TypeError, KeyError, OverflowError, pa.ArrowException)
"""Errors that reading a file with arbitrary content may raise."""

_LONGEST_DETAIL = 500


@dataclass(frozen=True, slots=True)
class _Faults:
    """What is at fault in a bucket: some networks, or the whole of it."""

    networks: Mapping[int, Finding] = field(default_factory=dict)
    whole: Finding | None = None

    def of(self, network: int) -> Finding | None:
        return self.networks.get(network, self.whole)

    @property
    def damaged(self) -> set[str]:
        """Files of the archive that cannot be read."""
        faults = [*self.networks.values(), *([] if self.whole is None else [self.whole])]
        return {fault.damaged for fault in faults if fault.damaged}


class AuditedManifests:
    """The manifests that stand for a load: those of its fetch tasks, or of the verdicts that replace them.

    Args:
        manifests: of all buckets that were fetched.
        scratch: a local folder.
    """

    def __init__(self, storage: Storage, load: Load, manifests: Sequence[Manifest], scratch: Path) -> None:
        self._storage, self._load, self._scratch = storage, load, scratch
        self._originals = {manifest.bucket: manifest for manifest in manifests}
        self._numbers, verdicts = read_verdicts(storage, load)
        self._verdicts = {b: verdict for b, verdict in verdicts.items() if self._is_about(b, verdict)}
        for bucket in self._verdicts:
            self._keep_evidence(bucket)

    def _is_about(self, bucket: int, verdict: Verdict) -> bool:
        """Whether it is not about an earlier fetch task whose manifest was deleted."""
        return bucket in self._originals and verdict.of == self._originals[bucket].attempt

    def manifests(self) -> dict[int, Manifest]:
        """One per bucket, in order of the buckets."""
        return {bucket: self.manifest(bucket) for bucket in sorted(self._originals)}

    def manifest(self, bucket: int) -> Manifest:
        """The manifest that stands for a bucket."""
        return self._verdicts[bucket].manifest if bucket in self._verdicts else self._originals[bucket]

    def is_out(self, bucket: int) -> bool:
        """Whether only the visits of a bucket are left."""
        return bucket in self._verdicts and self._verdicts[bucket].whole

    def quarantine(self, bucket: int, findings: Sequence[Finding], *, late: bool) -> None:
        """Leave out what networks of a bucket landed, or the whole bucket if a finding names none. Their visits fail.

        The rest is landed again under another name, then the verdict is written in one step: a rerun finds it, or
        reaches the same one. The fetch task's files are moved to the quarantine.

        Args:
            late: some table has the load, so files stay where they are.
        """
        before = self._verdicts.get(bucket)
        gone = before.networks if before else ()
        at_fault = {f.network: f for f in reversed(findings) if f.network is not None}
        whole = next((f for f in findings if f.network is None), None)
        if whole is None and not at_fault.keys().isdisjoint(gone):
            whole = Finding(bucket, None, "a network that was left out is there again")
        manifest = None
        if whole is None:
            try:
                manifest = self._land(bucket, _Faults(at_fault), self._all_but(bucket, at_fault))
            except _UNREADABLE as error:
                whole = Finding(bucket, None, str(error))
        if manifest is None:
            assert whole is not None
            manifest = self._land(bucket, _Faults(whole=whole), iter([(VISITS, self._visits(bucket, whole))]))
        verdict = Verdict(
            of=self._originals[bucket].attempt,
            whole=whole is not None,
            late=late,
            networks=tuple(sorted({*gone, *at_fault})),
            findings=(*(before.findings if before else ()), *map(_said, findings)),
            manifest=manifest,
        )
        for sentence in map(_said, findings):
            log.error("load %s, bucket %d: left out: %s", self._load.name, bucket, sentence, extra={"bucket": bucket})
        self._write(bucket, verdict)
        self._keep_evidence(bucket)

    def _land(self, bucket: int, faults: _Faults, tables: Iterator[tuple[Table, _Parts]]) -> Manifest:
        """Land tables, with visits of the networks at fault marked as failed; the manifest that stands for them."""
        manifest = self.manifest(bucket)
        attempt = f"{self._originals[bucket].attempt}-audit-{uuid4().hex[:8]}"
        files: list[LandedFile] = []
        counts: list[VisitCounts] = []
        with locked_folder(self._scratch, f"quarantine-{bucket}") as folder:
            for table, parts in tables:
                path = folder / landed_name(table.name, sum(file.table == table.name for file in files))
                after = _counted((_failed(part, faults) for part in parts), counts) if table is VISITS else parts
                rows, raw_bytes = _write_parquet(table, path, after)
                if rows:
                    sent = self._storage.upload(path, f"{self._load.landing(bucket, attempt)}/{path.name}")
                    files.append(
                        LandedFile(
                            table=table.name,
                            path=sent.path,
                            rows=rows,
                            size_bytes=sent.size_bytes,
                            raw_bytes=raw_bytes,
                            sha256=sent.sha256,
                        )
                    )
                path.unlink()
        damaged = tuple(sorted({*manifest.damaged, *faults.damaged}))
        changes = {"attempt": attempt, "files": tuple(files), "visits": sum_counts(counts), "damaged": damaged}
        return manifest.model_copy(update=changes)

    def _all_but(self, bucket: int, at_fault: Mapping[int, Finding]) -> Iterator[tuple[Table, _Parts]]:
        """The tables of a bucket without the rows of networks at fault, but with all visits; by row group."""
        gone = pa.array(sorted(at_fault), pa.int64())
        for file in self.manifest(bucket).files:
            parts = self._row_groups(bucket, file)
            if file.table != VISITS.name:
                parts = (part.filter(pc.invert(pc.is_in(part["network"], value_set=gone))) for part in parts)
            yield BY_NAME[file.table], parts

    def _visits(self, bucket: int, whole: Finding) -> _Parts:
        """Rows of ``visits`` of a bucket; if they cannot be read, a failed visit to each origin due in the plan."""
        files = [file for file in self.manifest(bucket).files if file.table == VISITS.name]
        try:
            rows = [row for file in files for part in self._row_groups(bucket, file) for row in part.to_pylist()]
            return [pa.Table.from_pylist([asdict(Visit.of_row(row)) for row in rows], VISITS.arrow_schema)]
        except _UNREADABLE as error:
            log.error(
                "bucket %d: %s; all its origins that were due count as failed", bucket, error, extra={"bucket": bucket}
            )
        return [pa.Table.from_pylist(self._all_failed(bucket, whole), VISITS.arrow_schema)]

    def _all_failed(self, bucket: int, whole: Finding) -> list[Mapping[str, object]]:
        """Rows of ``visits``; none if the plan cannot be read either: then the origins stay due as before."""
        try:
            origins = read_bucket_plan(self._storage, self._load, bucket).origins
        except StoredFileDamaged as error:
            log.error("bucket %d: %s; its origins stay due as before", bucket, error, extra={"bucket": bucket})
            return []
        manifest = self.manifest(bucket)
        return [
            asdict(
                Visit(
                    bucket, origin.network, origin.url, manifest.night, manifest.attempt, VisitStatus.FAILED,
                    whole.error, _detail(whole), manifest.written_at, 0, 0, 0,
                )
            )
            for origin in origins
            if origin.due
        ]  # fmt: skip

    def _row_groups(self, bucket: int, file: LandedFile) -> Iterator[pa.Table]:
        entry = find(self._storage, self._load, self.manifest(bucket), file)
        with open_parquet_file(self._storage, file.path if entry is None else entry.path) as parquet:
            for group in range(parquet.num_row_groups):
                yield parquet.read_row_group(group)

    def _write(self, bucket: int, verdict: Verdict) -> None:
        number = self._numbers.get(bucket, 0) + 1
        path = self._load.verdict(bucket, number)
        try:
            self._storage.create(path, verdict.model_dump_json(indent=1).encode())
        except AlreadyThere:  # written by a run that has lost the archive to this one, with the same findings
            verdict = Verdict.model_validate_json(self._storage.read(path))
        self._numbers[bucket], self._verdicts[bucket] = number, verdict

    def _keep_evidence(self, bucket: int) -> None:
        """Move the fetch task's files, from wherever an earlier attempt of Publish left them."""
        if self._verdicts[bucket].late:
            return
        original = self._originals[bucket]
        folder = f"{self._load.quarantine}/bucket={bucket}/{original.attempt}"
        for file in original.files:
            for path in (file.path, final_path(self._load, original, file)):
                try:
                    self._storage.rename(path, f"{folder}/{file.path.rpartition('/')[2]}")
                except (FileMissing, AlreadyThere):
                    continue


def standing_manifests(storage: Storage, load: Load, manifests: Sequence[Manifest]) -> list[Manifest]:
    """The same manifests; those with a verdict are replaced by the verdict's."""
    _, verdicts = read_verdicts(storage, load)
    found = ((manifest, verdicts.get(manifest.bucket)) for manifest in manifests)
    return [verdict.manifest if verdict and verdict.of == manifest.attempt else manifest for manifest, verdict in found]


def read_verdicts(storage: Storage, load: Load) -> tuple[dict[int, int], dict[int, Verdict]]:
    """The number of the last verdict on each bucket, and the last one that can be read."""
    numbers: dict[int, int] = {}
    verdicts: dict[int, Verdict] = {}
    names = (entry.path.rpartition("/")[2].removesuffix(".json").partition("-") for entry in storage.list(load.audits))
    for bucket, number in sorted((int(b), int(n)) for b, _, n in names if b.isdecimal() and n.isdecimal()):
        numbers[bucket] = number
        try:
            verdicts[bucket] = read_document(storage, load.verdict(bucket, number), Verdict.model_validate_json)
        except StoredFileDamaged as error:
            log.error("%s; the bucket is audited again", error)
    return numbers, verdicts


def _write_parquet(table: Table, path: Path, parts: _Parts) -> tuple[int, int]:
    """Write parts as row groups of a local file; return rows, and bytes of ``content``."""
    rows = raw_bytes = 0
    with open_parquet(table, path, ZSTD_LEVEL, PAGE_BYTES) as writer:
        for part in parts:
            if part.num_rows:
                writer.write_table(part.cast(table.arrow_schema), row_group_size=part.num_rows)
                rows += part.num_rows
                if "content" in part.column_names:
                    raw_bytes += pc.sum(pc.binary_length(part["content"])).as_py() or 0
    return rows, raw_bytes


def _failed(visits: pa.Table, faults: _Faults) -> pa.Table:
    rows = visits.to_pylist()
    for row in rows:
        fault = faults.of(row["network"])
        if fault is not None and _brought(row["status"]):
            row.update(status=str(VisitStatus.FAILED), error=fault.error, detail=_detail(fault), objects=0)
            row.update(newest_commit=None, commit_days=0)
    return pa.Table.from_pylist(rows, VISITS.arrow_schema)


def _counted(visits: _Parts, counts: list[VisitCounts]) -> _Parts:
    """Pass parts on, and add the counts of each to a list."""
    for part in visits:
        counts.append(count_visits(Visit.of_row(row) for row in part.to_pylist()))
        yield part


def _brought(status: str) -> bool:
    """Whether a visit may have landed anything."""
    return status in (VisitStatus.FULL, VisitStatus.PARTIAL)


def _said(finding: Finding) -> str:
    return finding.problem if finding.network is None else f"network {finding.network}: {finding.problem}"


def _detail(fault: Finding) -> str:
    return fault.problem[:_LONGEST_DETAIL]
