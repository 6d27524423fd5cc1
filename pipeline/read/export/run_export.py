"""Export a training set: choose its files, write its shards on all executors, then the card, the manifest last."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.model.errors import UsageError
from pipeline.model.redact import without_secrets
from pipeline.model.version import __version__
from pipeline.read.archive import Archive
from pipeline.read.export.card import card
from pipeline.read.export.choose import PREFERENCE, READ, choose_files, in_order, row_weight
from pipeline.read.export.destination import Replaced, export_in, plan_in, still_ours
from pipeline.read.export.manifest import CARD, DATA, MANIFEST, PLAN, WORK, Manifest, Plan, Recipe, Shard
from pipeline.read.export.near import near_duplicates, signatures
from pipeline.read.export.selection import Selection
from pipeline.read.export.shard_file import writing_programs
from pipeline.read.export.write import ShardWriter
from pipeline.storage.documents import read_document
from pipeline.storage.errors import AlreadyThere
from pipeline.storage.interface import Storage
from pipeline.tables.frames import local_frame


class NothingChosen(UsageError):
    """No file of the night is wanted."""

    def __str__(self) -> str:
        return (
            "no file at HEAD has such a language, licence and size, and is of such an origin; "
            "`head_blobs` and `licences` have what there is"
        )


class OtherExport(UsageError):
    """The folder holds something else, or an export of something else."""

    def __init__(self, location: str, *, ours: bool) -> None:
        super().__init__(location, ours)
        self.location, self.ours = location, ours

    def __str__(self) -> str:
        if not self.ours:
            return f"{self.location} is not empty, and holds no export: name another folder"
        return (
            f"{self.location} holds an export of another night, with other options or by another version, or what "
            "may be exported has changed since (takedowns, opt-outs, stars): name another folder, or delete it with "
            "--replace"
        )


def run_export(archive: Archive, source: Storage, to: Storage, selection: Selection, *, replace: bool) -> Manifest:
    """Export the files of the archive's night; continue where an equal export stopped, and leave a complete one alone.

    Args:
        archive: of a sealed night.
        source: the archive's storage.
        to: where the export goes; Spark's workers write there.
        replace: delete another export that is there.

    Raises:
        NothingChosen: there is nothing to export.
        OtherExport: something else is there.
        Replaced: meanwhile another export took the folder.
        StoredFileDamaged: a data file is damaged or gone.
    """
    night = archive.night()
    if night is None:
        raise UsageError("no night has been completed yet; run `pipeline nightly` first")
    recipe = Recipe(
        archive=without_secrets(source.root_uri),
        night=night,
        snapshots=archive.snapshots(),
        selection=selection,
        program={"git-lakehouse": __version__, **writing_programs()},
    )
    check_destination(to, recipe, replace=replace)
    archive.register_views(read=READ)
    with _Kept() as kept:
        rows, near = choose_files(archive, selection), 0
        if selection.near_dedup:
            rows = kept.frame(rows)
            signed = kept.frame(signatures(rows, source))
            alike = kept.frame(near_duplicates(signed))
            rows, near = rows.join(alike, PREFERENCE, "left_anti"), alike.count()
        sharded = _sharded(kept.frame(in_order(rows.drop(PREFERENCE), selection.shard_bytes)), selection)
        plan = _plan(recipe, sharded, near)
        found = _begin(to, plan, replace=replace)
        if found is None:
            found = _ended(lambda: _write(sharded, source, to, plan), to, plan)
    if plan_in(to) in (None, plan):
        to.delete(WORK, recursive=True)
    return found


class _Kept(ExitStack):
    """Frames that are computed once and kept on the executors' disks until the block ends."""

    def frame(self, rows: DataFrame) -> DataFrame:
        rows.persist(StorageLevel.DISK_ONLY)
        self.callback(rows.unpersist)
        return rows


def _sharded(rows: DataFrame, selection: Selection) -> DataFrame:
    """The rows with the number of their shard: places in order, cut wherever the weight so far passes a multiple of a
    shard's. As no row weighs more than a shard, none is empty.
    """
    end = F.max(F.col("before") + row_weight(selection.shard_bytes))
    weights = sorted(
        (row["bucket"], row["weight"]) for row in rows.groupBy("bucket").agg(end.alias("weight")).collect()
    )
    begins, begin = [], 0
    for bucket, weight in weights:
        begins.append((bucket, begin))
        begin += weight
    frame = local_frame(rows.sparkSession, begins, pa.schema([("bucket", pa.int32()), ("begin", pa.int64())]))
    shard = F.expr(f"CAST((begin + before) DIV {selection.shard_bytes} AS int)")
    return rows.join(F.broadcast(frame), "bucket").withColumn("shard", shard).drop("begin", "before")


def _plan(recipe: Recipe, rows: DataFrame, near: int) -> Plan:
    checksum = F.sum(F.xxhash64(*rows.columns).cast("decimal(38)"))
    totals = rows.agg(F.count("*").alias("rows"), F.max("shard").alias("last"), checksum.alias("checksum")).collect()[0]
    if not totals["rows"]:
        raise NothingChosen
    return Plan(
        **dict(recipe),
        rows=totals["rows"],
        near_duplicates=near,
        shards=totals["last"] + 1,
        checksum=str(totals["checksum"]),
    )


def check_destination(to: Storage, recipe: Recipe, *, replace: bool) -> None:
    """Look at what is in the folder, before files are chosen.

    Raises:
        OtherExport: it is no export, or one by another recipe, which may not be replaced.
    """
    was = export_in(to)
    if was is None:
        if to.list():
            raise OtherExport(to.root_uri, ours=False)
    elif not was[0].follows(recipe) and not replace:
        raise OtherExport(to.root_uri, ours=True)


def _begin(to: Storage, plan: Plan, *, replace: bool) -> Manifest | None:
    """Make the folder ready; the manifest if the export is complete already.

    Raises:
        OtherExport: another one is there, and may not be replaced.
        Replaced: another one begins at the same time.
    """
    was = export_in(to)
    if was is not None:
        if was[0] == plan:
            return was[1]
        _clear(to, was[0], replace=replace)
    try:
        to.create(PLAN, plan.model_dump_json(indent=1).encode())
    except AlreadyThere:
        return still_ours(to, plan)
    return None


def _clear(to: Storage, was: Plan, *, replace: bool) -> None:
    if not replace:
        raise OtherExport(to.root_uri, ours=True)
    to.replace(PLAN, was.model_dump_json(indent=1).encode())  # whenever we are killed, the folder is still an export's
    for path in (MANIFEST, CARD, DATA, WORK):
        to.delete(path, recursive=True)


def _ended(write: Callable[[], list[Shard]], to: Storage, plan: Plan) -> Manifest:
    """Write and finish the export, unless an equal one that runs at the same time does so first."""
    try:
        return _finish(to, plan, write())
    except Exception:
        found = still_ours(to, plan)  # or says why it failed
        if found is None:
            raise
        return found


def _write(rows: DataFrame, source: Storage, to: Storage, plan: Plan) -> list[Shard]:
    """Write the shards that have no record yet, each by one task."""
    records = (
        read_document(to, entry.path, Shard.model_validate_json)
        for entry in to.list(WORK)
        if entry.path.endswith(".json") and entry.path != PLAN
    )
    there = {entry.path for entry in to.list(DATA)}
    done = [shard for shard in records if shard.path in there]
    numbers = [(shard.number,) for shard in done]
    finished = local_frame(rows.sparkSession, numbers, pa.schema([("shard", pa.int32())]))
    missing = rows.join(F.broadcast(finished), "shard", "left_anti") if done else rows
    tasks = missing.repartitionById(plan.shards, "shard").sortWithinPartitions("bucket", "uri", "position")
    written = tasks.mapInArrow(ShardWriter(source, to, plan).__call__, "record string").collect()
    new = [Shard.model_validate_json(row["record"]) for row in written]
    return sorted([*done, *new], key=lambda shard: shard.number)


def _finish(to: Storage, plan: Plan, shards: list[Shard]) -> Manifest:
    """Write card and manifest, if nobody did.

    Raises:
        Replaced: meanwhile another export took the folder, and has what was written here deleted.
    """
    found = still_ours(to, plan)
    if found is not None:
        return found
    manifest = Manifest(plan=plan, shards=tuple(shards))
    there = {entry.path for entry in to.list(DATA) if entry.path.startswith(f"{DATA}/train-")}
    ours = {shard.path for shard in shards}
    if not ours <= there:  # an export that this one replaced ended at that moment
        raise Replaced(to.root_uri)
    for path in there - ours:  # an export that this one replaced wrote it too late
        to.delete(path)
    to.replace(CARD, card(manifest).encode())
    try:
        to.create(MANIFEST, manifest.model_dump_json(indent=1).encode())
    except AlreadyThere:
        still_ours(to, plan)
    if plan_in(to) not in (None, plan):
        to.delete(MANIFEST)
        raise Replaced(to.root_uri)
    return manifest
