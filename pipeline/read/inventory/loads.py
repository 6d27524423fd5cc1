"""Files outside Iceberg: checks that ``archive.json``, ``runs/`` and ``results/`` are readable and agree."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from pipeline.context.archive import ArchiveInfo
from pipeline.model.errors import CheckFailed
from pipeline.model.layout import ARCHIVE, RESULTS, RUNS, Load
from pipeline.model.manifest import LandedFile, Manifest
from pipeline.night.landed import final_path
from pipeline.night.quarantine import standing_manifests
from pipeline.read.inventory.finding import Finding, Kind
from pipeline.storage.bytes import hash_file, in_threads
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file
from pipeline.storage.paths import is_beside

T = TypeVar("T")

_BATCH_ROWS = 1024


@dataclass(frozen=True, slots=True)
class LoadFiles:
    """A started load: its files (without landings and quarantine) and its readable manifests.

    If the audit reached a verdict on a bucket, the verdict's manifest counts.
    """

    load: Load
    finished: bool
    published: bool
    paths: tuple[str, ...]
    manifests: tuple[Manifest, ...]
    findings: tuple[Finding, ...]

    def landed(self) -> Iterator[tuple[str, LandedFile, int]]:
        """Files in the manifests: the path to which Publish moves each, its record, and its bucket."""
        for manifest in self.manifests:
            for file in manifest.files:
                if file.rows:
                    yield final_path(self.load, manifest, file), file, manifest.bucket


def read_loads(storage: Storage, *, after: str = "") -> list[LoadFiles]:
    """All loads, or those with a later name."""
    named = ((entry, Load.named(entry.path.rpartition("/")[2])) for entry in storage.list(RUNS) if entry.is_dir)
    return [read_load(storage, load) for _, load in named if load is not None and load.name > after]


def read_load(storage: Storage, load: Load) -> LoadFiles:
    """One load, as far as it can be read."""
    paths = [
        entry.path
        for folder in storage.list(load.root)
        for entry in ([folder] if not folder.is_dir else storage.walk(folder.path))
        if not entry.path.startswith((f"{load.landings}/", f"{load.quarantine}/")) and not is_beside(entry.path)
    ]
    findings: list[Finding] = []
    manifests: list[Manifest] = []
    for path in paths:
        if path.startswith(f"{load.manifests}/"):
            manifest = _parsed(findings, path, lambda p: Manifest.model_validate_json(storage.read(p)))
            if manifest is not None:
                manifests.append(manifest)
                if manifest.load != load.name or load.manifest(manifest.bucket) != path:
                    problem = f"it is the manifest of load {manifest.load}, bucket {manifest.bucket}"
                    findings.append(Finding(Kind.LOAD_DISAGREES, problem, path))
        elif path.endswith(".json"):
            _parsed(findings, path, lambda p: json.loads(storage.read(p)))
    manifests = standing_manifests(storage, load, manifests)
    there = set(paths)
    if load.plan in there:
        findings += _against_plan(storage, load, {m.bucket for m in manifests}, load.published in there)
    published = load.published in there
    return LoadFiles(load, load.finished in there, published, tuple(paths), tuple(manifests), tuple(findings))


def _parsed(findings: list[Finding], path: str, parse: Callable[[str], T]) -> T | None:
    try:
        return parse(path)
    except FileMissing:
        findings.append(Finding(Kind.FILE_MISSING, "the file is gone", path))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        findings.append(Finding(Kind.FILE_UNREADABLE, problem[:300], path))
    except (CheckFailed, ValueError, KeyError, TypeError) as error:
        findings.append(Finding(Kind.FILE_UNREADABLE, str(error)[:300], path))
    return None


def _against_plan(storage: Storage, load: Load, have: set[int], published: bool) -> Iterator[Finding]:
    try:
        document = json.loads(storage.read(load.plan))
        planned = {int(bucket) for bucket in document["buckets"]}
    except (FileMissing, ValueError, KeyError, TypeError, AttributeError):
        yield Finding(Kind.FILE_UNREADABLE, "it does not list the buckets to fetch", load.plan)
        return
    if document.get("load") != load.name:
        yield Finding(Kind.LOAD_DISAGREES, f"it is the plan of load {document.get('load')}", load.plan)
    for bucket in sorted(have - planned):
        yield Finding(Kind.LOAD_DISAGREES, "a manifest of a bucket that is not in the plan", load.manifest(bucket))
    for bucket in sorted(planned - have) if published else ():
        problem = "the manifest of a bucket of a published load is gone or cannot be read"
        yield Finding(Kind.LOAD_DISAGREES, problem, load.manifest(bucket), bucket=bucket)


def check_unpublished(storage: Storage, found: LoadFiles) -> Iterator[Finding]:
    """Check the plan and the landed files of a load that is still under way."""
    for path in found.paths:
        hashed = hash_file(storage, path, with_side=True)
        if hashed is not None and hashed.side is False:
            problem_ = "it and Hadoop's checksum file beside it disagree"
            yield Finding(Kind.FILE_CHECKSUM, problem_, path)
        elif path.endswith(".parquet"):
            try:
                with open_parquet_file(storage, path) as file:
                    for _ in file.iter_batches(_BATCH_ROWS):
                        pass
            except StoredFileDamaged as error:
                yield Finding(Kind.FILE_UNREADABLE, error.problem, path)
    yield from (
        problem
        for problem in in_threads(lambda item: _landed(storage, *item), list(found.landed()))
        if problem is not None
    )


def _landed(storage: Storage, final: str, said: LandedFile, bucket: int) -> Finding | None:
    """Check one landed file, which Publish may already have moved."""
    for path in (said.path, final):
        found = hash_file(storage, path, with_side=False)
        if found is not None:
            if (found.size_bytes, found.sha256.hex()) == (said.size_bytes, said.sha256):
                return None
            return Finding(Kind.FILE_CHECKSUM, "it does not match its manifest", path, f"code.{said.table}", bucket)
    return Finding(Kind.FILE_MISSING, "a landed file is gone", said.path, f"code.{said.table}", bucket)


def check_documents(storage: Storage) -> Iterator[Finding]:
    """Check ``archive.json`` and the lineage of results."""
    findings: list[Finding] = []
    _parsed(findings, ARCHIVE, lambda path: ArchiveInfo.model_validate_json(storage.read(path)))
    for path in result_documents(storage):
        document = _parsed(findings, path, lambda at: json.loads(storage.read(at)))
        if document is not None:
            job, night = path.removesuffix(".json").split("/")[-2:]
            if not isinstance(document, dict) or (document.get("job"), document.get("night")) != (job, night):
                findings.append(Finding(Kind.LOAD_DISAGREES, "it is not the lineage of its job and night", path))
    yield from findings


def result_documents(storage: Storage) -> list[str]:
    """Paths of the lineage of all results."""
    return [e.path for e in storage.walk(RESULTS) if e.path.endswith(".json") and not is_beside(e.path)]
