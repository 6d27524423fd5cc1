"""One fetch task: every due origin of one bucket, one night. The task is done when its manifest is written, last."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pipeline.fetch.agenda import Agenda, DueNetwork
from pipeline.fetch.asked import NOTHING, Asked
from pipeline.fetch.batches import Batches, in_arrow
from pipeline.fetch.bucket_plan import BucketPlan, read_bucket_plan
from pipeline.fetch.crew import Crew
from pipeline.fetch.landing import RUN_BYTES, Landing
from pipeline.fetch.local_file import LocalFile
from pipeline.fetch.worker import Work
from pipeline.git.conditions import Conditions
from pipeline.model import tables
from pipeline.model.layout import Load
from pipeline.model.manifest import LandedFile, Manifest
from pipeline.model.visit import Visit
from pipeline.model.visit_counts import count_visits
from pipeline.storage.documents import read_document
from pipeline.storage.errors import AlreadyThere, FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.scratch import locked_folder

log = logging.getLogger(__name__)


def fetch_bucket(
    storage: Storage,
    load: Load,
    bucket: int,
    *,
    run_id: str,
    conditions: Conditions,
    concurrency: int,
    scratch: Path,
    run_bytes: int = RUN_BYTES,
    asked: Asked = NOTHING,
    on_visit: Callable[[Visit], None] = lambda visit: None,
) -> Manifest:
    """Visit the due origins of a bucket, land their objects, upload the files and write the manifest.

    Args:
        storage: the archive.
        load: a planned load.
        bucket: a bucket that the plan names.
        run_id: id of the whole run, for ``visits``.
        conditions: limits and the like of every visit.
        concurrency: origins visited at once, each in its own process; decoding and writing take turns.
        scratch: local folder; a subfolder is created and removed, and those of killed tasks are removed, too.
        run_bytes: raw bytes of a run, see ``Landing``.
        asked: what other tasks have asked: visits that ended there are landed with those made here.
        on_visit: called after each visit.

    Raises:
        NamelessCrawl: public forges want to know who asks; nothing was visited.
        StorageError: the plan cannot be read or files cannot be uploaded; run the task again.
        ScratchFailed, OSError: scratch cannot be written.
    """
    began = time.monotonic()
    plan, damaged = _read_plan(storage, load, bucket)
    conditions.check_name(origin.url for origin in plan.origins if origin.due)
    with locked_folder(scratch, str(bucket)) as folder:
        landing = Landing(folder / "landing", run_bytes)
        visits = [visit for origin in plan.origins if origin.due and (visit := asked.ended.get(origin.url))]
        plan = plan.without(asked.ended)
        task = Work(storage, plan, tuple(plan.networks()), load.night, run_id, conditions, run_bytes)
        with Crew(task, Agenda(_networks(task, asked)), landing, concurrency, folder) as crew:
            for outcome in crew.outcomes():
                visits.append(outcome.visit)
                on_visit(outcome.visit)
        return hand_in(storage, load, bucket, landing, visits, began=began, damaged=damaged)


def _networks(task: Work, asked: Asked) -> Iterator[DueNetwork]:
    """The due origins by network; those that are known to have changed need not be asked."""
    for place, (number, origins) in enumerate(task.networks):
        network = DueNetwork(place, number, [origin.url for origin in origins if origin.due])
        for index, url in enumerate(network.due):
            if url in asked.changed:
                network.must_be_visited(index)
        yield network


def hand_in(
    storage: Storage,
    load: Load,
    bucket: int,
    landing: Landing,
    visits: Sequence[Visit],
    *,
    began: float,
    damaged: tuple[str, ...] = (),
) -> Manifest:
    """End a task: land its visits, upload all that was landed, and write the manifest.

    Args:
        began: when the task began, by the monotonic clock.
        damaged: files of the archive that could not be read.

    Raises:
        StorageError, OSError: as above.
    """
    attempt = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:12]}"
    _land_visits(landing, visits)
    files = tuple(_upload(storage, load, bucket, attempt, file) for file in landing.finish())
    manifest = Manifest(
        load=load.name,
        night=load.night,
        attempt=attempt,
        bucket=bucket,
        host=socket.gethostname(),
        written_at=datetime.now(UTC),
        fetch_s=round(time.monotonic() - began, 3),
        files=files,
        visits=count_visits(visits),
        damaged=damaged,
    )
    return _write_manifest(storage, load, manifest)


def _read_plan(storage: Storage, load: Load, bucket: int) -> tuple[BucketPlan, tuple[str, ...]]:
    """The plan of a bucket; if it is damaged, an empty plan and the damaged file: the origins stay due."""
    try:
        return read_bucket_plan(storage, load, bucket), ()
    except StoredFileDamaged as error:
        log.error("bucket %d: no origin is visited in this load: %s", bucket, error)
        return BucketPlan(bucket, ()), (error.path,)


def read_manifest(storage: Storage, load: Load, bucket: int) -> Manifest:
    """The manifest of a finished task.

    Raises:
        FileMissing: the task never happened.
    """
    return read_document(storage, load.manifest(bucket), Manifest.model_validate_json)


def _land_visits(landing: Landing, visits: Sequence[Visit]) -> None:
    rows = Batches(in_arrow(landing.append))
    for visit in visits:
        rows.add(tables.VISITS, visit.row)
    rows.flush()


def _upload(storage: Storage, load: Load, bucket: int, attempt: str, file: LocalFile) -> LandedFile:
    sent = storage.upload(file.path, f"{load.landing(bucket, attempt)}/{file.path.name}")
    file.path.unlink()
    return LandedFile(
        table=file.table,
        path=sent.path,
        rows=file.rows,
        size_bytes=sent.size_bytes,
        raw_bytes=file.raw_bytes,
        sha256=sent.sha256,
    )


def _write_manifest(storage: Storage, load: Load, manifest: Manifest) -> Manifest:
    """Write it; if another process finished the same task first, its manifest counts and our files are deleted."""
    try:
        storage.create(load.manifest(manifest.bucket), manifest.model_dump_json(indent=1).encode())
    except AlreadyThere:
        first = read_manifest(storage, load, manifest.bucket)
        if first.attempt != manifest.attempt:
            storage.delete(load.landing(manifest.bucket, manifest.attempt), recursive=True)
        return first
    return manifest


def read_manifests(storage: Storage, load: Load, buckets: Sequence[int]) -> tuple[list[Manifest], list[int]]:
    """The manifests of finished tasks, and the buckets that have none.

    A damaged manifest is moved to the quarantine: its task never happened.
    """
    manifests, lost = [], []
    for bucket in buckets:
        try:
            manifest = read_manifest(storage, load, bucket)
        except FileMissing:
            lost.append(bucket)
            continue
        except StoredFileDamaged:
            manifest = None
        if manifest is None or (manifest.load, manifest.bucket) != (load.name, bucket):
            storage.rename(load.manifest(bucket), f"{load.quarantine}/bucket={bucket}/manifest-{uuid4().hex}.json")
            lost.append(bucket)
        else:
            manifests.append(manifest)
    return manifests, lost
