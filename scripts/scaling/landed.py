"""First visits without a server: rows of made-up repositories take the way of a fetch task's, writers and manifest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from itertools import chain

from benchmarks.archive import Bed
from pipeline.fetch.batches import Batches, in_arrow
from pipeline.fetch.bucket import hand_in
from pipeline.fetch.bucket_plan import BucketPlan, PlannedOrigin, read_bucket_plan
from pipeline.fetch.landing import Landing
from pipeline.model import tables
from pipeline.model.layout import Load
from pipeline.model.links import OID_BYTES
from pipeline.model.objects import BLOB, TREE
from pipeline.model.rows import BlobRow, ContentRow, TreeRow, blob_names, commit_row, is_binary
from pipeline.model.text import text_and_raw
from pipeline.model.visit import Visit, VisitStatus
from pipeline.night.plan import read_plan
from pipeline.storage.scratch import locked_folder
from scaling.made import FIRST, Made, refs_at
from scaling.population import Population, place_of


def land(bed: Bed, load: Load, population: Population) -> list[bytes]:
    """Land all that a planned load would find on its first visits, and write the manifests of its fetch tasks.

    Returns:
        For each version from the first, the commits of all networks in order, 20 bytes each.
    """
    storage, settings = bed.storage, bed.config.fetch
    tips = [bytearray(population.networks * OID_BYTES) for _ in range(FIRST, population.begun + 1)]
    for bucket in sorted(read_plan(storage, load).buckets):
        began = time.monotonic()
        plan = read_bucket_plan(storage, load, bucket)
        with locked_folder(settings.scratch_folder, str(bucket)) as folder:
            landing = Landing(folder / "landing", settings.run_bytes)
            visits = _land_bucket(landing, plan, load, population, tips)
            hand_in(storage, load, bucket, landing, visits, began=began)
    return list(map(bytes, tips))


def _land_bucket(
    landing: Landing, plan: BucketPlan, load: Load, population: Population, tips: Sequence[bytearray]
) -> list[Visit]:
    rows, visits = Batches(in_arrow(landing.append)), []
    for network, origins in plan.networks():
        landing.begin()
        number = place_of(origins[0].url)[0]
        versions = [population.shape.version(number, v) for v in range(FIRST, population.begun + 1)]
        at_head = versions[0].ids | versions[-1].ids
        objects = {made.oid: made for made in chain.from_iterable(version.objects for version in versions)}
        for made in objects.values():
            _add(rows, (plan.bucket, network), made, at_head=made.oid in at_head)
        for tip, version in zip(tips, versions, strict=True):
            tip[number * OID_BYTES : (number + 1) * OID_BYTES] = version.tip
        for origin in origins:
            is_root = place_of(origin.url)[1]
            _add_refs(rows, plan.bucket, origin, load, versions[-1 if is_root else 0].tip)
            visits.append(_visit(plan.bucket, origin, load, len(objects) if is_root else 0))
        rows.flush()
    return visits


def _add(rows: Batches, place: tuple[int, int], made: Made, *, at_head: bool) -> None:
    size = len(made.body)
    if made.type is TREE:
        rows.add(tables.TREES, TreeRow(*place, made.oid, at_head, made.body), size)
    elif made.type is BLOB:
        name, ext = blob_names(made.name)
        digest, binary = sha256(made.body).digest(), is_binary(made.body)
        rows.add(tables.BLOBS, BlobRow(*place, made.oid, digest, size, name, ext, binary, "yes"))
        rows.add(tables.CONTENTS, ContentRow(*place, made.oid, size, ext, name, at_head, made.body), size)
    else:
        rows.add(tables.COMMITS, commit_row(*place, made.oid, made.body), size)


def _add_refs(rows: Batches, bucket: int, origin: PlannedOrigin, load: Load, tip: bytes) -> None:
    for name, ref in sorted(refs_at(tip).items()):
        symref = (None, None) if ref.symref is None else text_and_raw(ref.symref)
        row = (bucket, origin.network, origin.url, load.night, *text_and_raw(name), ref.target, None, *symref)
        rows.add(tables.REFS, row)


def _visit(bucket: int, origin: PlannedOrigin, load: Load, objects: int) -> Visit:
    return Visit(
        bucket, origin.network, origin.url, load.night, "made-up", VisitStatus.FULL, None, None, datetime.now(UTC), 0.0,
        0, objects,
    )  # fmt: skip
