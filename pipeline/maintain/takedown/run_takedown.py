"""A takedown from request to rewritten files; housekeeping finishes those that are not finished."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.context.archive import begun_loads
from pipeline.context.run import hold
from pipeline.context.workplace import Workplace
from pipeline.maintain.takedown.doomed import Doomed
from pipeline.maintain.takedown.remove import RemovedRows, remove_rows
from pipeline.maintain.takedown.runs import scrub_runs
from pipeline.maintain.takedown.targets import BadTargets, Target
from pipeline.maintain.takedown.victims import find_object, victims
from pipeline.model.tombstone import ANYWHERE, NETWORK, OBJECT, ORIGIN, Tombstone
from pipeline.night.opt_outs import leave_closed
from pipeline.read.inventory.record import record_takedown
from pipeline.storage.interface import Storage
from pipeline.storage.lease_record import ArchiveHeld
from pipeline.tables.damage import check_footers
from pipeline.tables.frames import url_frame
from pipeline.tables.iceberg import IcebergTable, full_name
from pipeline.tables.tombstones import add_tombstones, pending, set_removed, tombstones
from pipeline.tables.writer import Writer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """The takedown of one target.

    Attributes:
        target: the URL or id.
        already: whether it had been taken down before.
        objects: number of objects that are gone with it; None for all objects of its network.
    """

    target: str
    already: bool
    objects: int | None


@dataclass(frozen=True, slots=True)
class Removal:
    """What was rewritten: tables, ``scrubbed`` files of runs, and how long it took.

    ``unfinished`` loads were planned earlier and may still bring some of it; until they are finished, readers and
    housekeeping continue to look for it.
    """

    tables: tuple[RemovedRows, ...]
    scrubbed: tuple[str, ...]
    unfinished: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class TakedownReport:
    """A takedown. Without a removal another run held the archive, and ``held_by`` names it."""

    taken: tuple[Taken, ...]
    removal: Removal | None
    held_by: str | None


def run_takedown(place: Workplace, targets: Sequence[Target], reason: str, by: str) -> TakedownReport:
    """Hide the targets from all readers at once, then rewrite the files that hold them, if the archive is free.

    May be called again after a kill at any point; it then does the rest.

    Args:
        by: the person who asks.

    Raises:
        BadTargets: some targets are no origins of the archive; nothing was done.
        LeaseLost: the lease was lost on the way; every finished step is complete.
    """
    spark, storage, scratch = place.spark(), place.storage, place.config.fetch.scratch_folder
    taken = take_down(spark, storage, targets, reason=reason, by=by, scratch=scratch)
    if not pending(spark):
        return TakedownReport(taken, None, None)
    with ExitStack() as stack:
        try:
            run = stack.enter_context(hold(place, "takedown"))
        except ArchiveHeld as held:
            return TakedownReport(taken, None, held.holder)
        return TakedownReport(taken, finish_takedowns(run.writer(), storage, run.scratch), None)


def take_down(
    spark: SparkSession,
    storage: Storage,
    targets: Sequence[Target],
    *,
    reason: str,
    by: str,
    scratch: Path,
) -> tuple[Taken, ...]:
    """Write the tombstones of targets that have none; from then on readers do not see these. Needs no lease.

    Raises:
        BadTargets: as above.
    """
    known = tombstones(spark)
    urls = {stone.url for stone in known if stone.kind == ORIGIN}
    oids = {stone.oid for stone in known if stone.kind == ANYWHERE}
    new = [target for target in targets if target.url not in urls and target.oid not in oids]
    places = _places(spark, [target.url for target in new if target.url is not None])
    strange = [t.url for t in new if t.url is not None and t.url not in places]
    if strange:
        check_footers(spark, storage, ["origins"], None)
        why = "no origin of this archive; `pipeline origins opt-out` keeps out origins that are not in it yet"
        raise BadTargets("takedown", tuple((url, why) for url in strange))
    going = {url for url in urls if url is not None} | places.keys()
    taken = [Taken(str(target), True, 0) for target in targets if target not in new]
    for target in new:
        takedown = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:12]}"
        base = Tombstone(takedown, "", datetime.now(UTC))
        if target.url is not None:
            bucket, network = places[target.url]
            stones = [replace(base, kind=ORIGIN, bucket=bucket, network=network, url=target.url, reason=reason, by=by)]
            more = _of_network(spark, storage, base, bucket, network, going, scratch, known=frozenset())
            stones += more
            objects = None if any(stone.kind == NETWORK for stone in more) else len(more)
        else:
            stones = [replace(base, kind=ANYWHERE, oid=target.oid, reason=reason, by=by)]
            objects = 1
        add_tombstones(spark, stones)
        log.info("%s was taken down: %s", target, reason)
        taken.append(Taken(str(target), False, objects))
    leave_closed(spark)
    return tuple(taken)


def _places(spark: SparkSession, urls: Sequence[str]) -> Mapping[str, tuple[int, int]]:
    """Bucket and network of those origins that are in the archive."""
    if not urls:
        return {}
    IcebergTable(spark, "origins")
    wanted = url_frame(spark, urls)
    rows = spark.table(full_name("origins")).join(F.broadcast(wanted), "url", "left_semi").collect()
    return {row["url"]: (row["bucket"], row["network"]) for row in rows}


def _of_network(
    spark: SparkSession,
    storage: Storage,
    base: Tombstone,
    bucket: int,
    network: int,
    going: Collection[str],
    scratch: Path,
    *,
    known: frozenset[bytes],
) -> list[Tombstone]:
    """Tombstones of everything that goes with origins of a network, except known ones."""
    found = victims(spark, storage, bucket, network, going, scratch)
    if found is None:
        return [replace(base, kind=NETWORK, bucket=bucket, network=network)]
    return [replace(base, kind=OBJECT, bucket=bucket, network=network, oid=oid) for oid in sorted(found - known)]


def finish_takedowns(writer: Writer, storage: Storage, scratch: Path) -> Removal | None:
    """Rewrite all files that hold what was taken down; None if there are none. The lease must be held.

    Objects of the origins that a running night has brought since are included.
    """
    began = time.monotonic()
    open_ = pending(writer.spark)
    if not open_:
        return None
    stones = tombstones(writer.spark, open_)
    stones.extend(_moved(writer.spark, stones))
    for stone in _late(writer.spark, storage, stones, scratch):
        stones.extend(stone)
    doomed = resolve(writer.spark, storage, stones)
    tables = remove_rows(writer, storage, doomed, scratch=scratch)
    scrubbed = scrub_runs(storage, doomed, writer.check_lease)
    record_takedown(storage, scrubbed, doomed.buckets)
    unfinished = tuple(load.name for load, finished in begun_loads(storage).items() if not finished)
    if not unfinished:
        set_removed(writer.spark, {stone.takedown for stone in stones})
    return Removal(tuple(tables), tuple(scrubbed), unfinished, round(time.monotonic() - began, 3))


def _moved(spark: SparkSession, stones: Sequence[Tombstone]) -> list[Tombstone]:
    """Add and return tombstones of origins that got another network while they were taken down (decision 49)."""
    named = {stone.url: stone for stone in stones if stone.kind == ORIGIN and stone.url is not None}
    known = {(stone.url, stone.bucket, stone.network) for stone in stones if stone.kind == ORIGIN}
    now = datetime.now(UTC)
    found = [
        replace(named[url], bucket=bucket, network=network, at=now)
        for url, (bucket, network) in _places(spark, sorted(named)).items()
        if (url, bucket, network) not in known
    ]
    for stone in found:
        add_tombstones(spark, [stone])
    return found


def _late(
    spark: SparkSession, storage: Storage, stones: Sequence[Tombstone], scratch: Path
) -> Iterable[list[Tombstone]]:
    """Add and return tombstones of objects that came in with origins since their takedown."""
    going = {stone.url for stone in tombstones(spark) if stone.url is not None}
    whole = {stone.network for stone in stones if stone.kind == NETWORK}
    networks = {(s.bucket, s.network, s.takedown) for s in stones if s.kind == ORIGIN and s.network not in whole}
    for bucket, network, takedown in sorted(networks, key=str):
        assert bucket is not None
        assert network is not None
        known = frozenset(s.oid for s in stones if s.kind == OBJECT and s.network == network and s.oid is not None)
        base = Tombstone(takedown, "", datetime.now(UTC))
        more = _of_network(spark, storage, base, bucket, network, going, scratch, known=known)
        if more:
            add_tombstones(spark, more)
            yield more


def resolve(spark: SparkSession, storage: Storage, stones: Iterable[Tombstone]) -> Doomed:
    """The rows that tombstones doom in the current tables, including objects that go in every network."""
    urls: dict[int, set[str]] = {}
    objects: dict[int, set[bytes]] = {}
    marked: dict[int, set[bytes]] = {}
    networks: set[int] = set()
    buckets: set[int] = set()
    for stone in stones:
        if stone.bucket is not None:
            buckets.add(stone.bucket)
        if stone.kind == ORIGIN and stone.network is not None and stone.url is not None:
            urls.setdefault(stone.network, set()).add(stone.url)
        elif stone.kind == NETWORK and stone.network is not None:
            networks.add(stone.network)
        elif stone.kind == OBJECT and stone.network is not None and stone.oid is not None:
            objects.setdefault(stone.network, set()).add(stone.oid)
        elif stone.kind == ANYWHERE and stone.oid is not None:
            for bucket, network, _ in find_object(spark, storage, stone.oid):
                buckets.add(bucket)
                marked.setdefault(network, set()).add(stone.oid)
    return Doomed(
        {network: frozenset(found) for network, found in urls.items()},
        frozenset(networks),
        {network: frozenset(found) for network, found in objects.items()},
        {network: frozenset(found) for network, found in marked.items()},
        frozenset(buckets),
    )
