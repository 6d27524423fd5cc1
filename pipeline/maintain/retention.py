"""Nights and snapshots beyond the retention: their tags go first, then the snapshots, then the files.

An expired night first ceases to exist: ``origins`` loses its tag before the other tables, the reverse of Seal's order,
so a night that can be found can be read. Another tag, ``retired-NIGHT-SECONDS``, replaces it and stays for as long as
snapshots are kept, for jobs that found the night earlier. Tags are exchanged in one commit per table, and hold all that
a later run must know.

Snapshots are forgotten before their files are deleted. After a kill in between, the files are unreferenced and go with
the next sweep.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from pyspark.sql import SparkSession

from pipeline.maintain.house import house
from pipeline.maintain.rubbish import Rubbish, Why, measured, remove_empty
from pipeline.model.layout import night_of, retired_at, retired_tag, tag_of
from pipeline.night.seal import nights
from pipeline.rules.retention import files_to_delete, nights_to_drop, snapshots_to_expire, tags_to_drop
from pipeline.storage.interface import Storage
from pipeline.storage.paths import parent_of
from pipeline.tables.maintained import MaintainedTable, Manifests
from pipeline.tables.writer import Writer


@dataclass(frozen=True, slots=True)
class NightsPlan:
    """Nights that cease to exist, and what that and the age of snapshots remove from each table, ``origins`` first."""

    nights: tuple[date, ...]
    tables: tuple[ExpiringTable, ...]


@dataclass(frozen=True, slots=True)
class ExpiringTable:
    """What is removed from one table.

    ``retire`` pairs a night's tag with the tag that replaces it; ``forget`` are such tags that have expired; ``uris``
    are the files of ``rubbish``, in the same order.
    """

    table: str
    retire: tuple[tuple[str, str], ...]
    forget: tuple[str, ...]
    snapshots: tuple[int, ...]
    rubbish: tuple[Rubbish, ...]
    uris: tuple[str, ...]


def plan_nights(
    spark: SparkSession,
    storage: Storage,
    *,
    dailies: int,
    monthlies: int,
    since: float,
    retired_before: float,
    now: float,
) -> NightsPlan:
    """Find what the retention does not keep. Changes nothing.

    Args:
        since: see ``keep_since``.
        retired_before: tags that replaced a night before this time go.
        now: the time in the names of new such tags.
    """
    existing = nights(spark)
    dropped = nights_to_drop(existing, dailies=dailies, monthlies=monthlies)
    plans = []
    for table in reversed(house(spark)):
        iceberg = MaintainedTable(spark, table.name)
        tags = iceberg.tags()
        going = tags_to_drop(_nights_of(tags), existing, dropped)
        retire = {tag_of(night): retired_tag(night, int(now)) for night in going}
        after = {name: id_ for name, id_ in tags.items() if name not in retire}
        after |= {new: tags[old] for old, new in retire.items()}
        forget = tuple(name for name in after if _is_over(name, retired_before))
        named = {id_ for name, id_ in after.items() if name not in forget} | set(iceberg.branches().values())
        expired = snapshots_to_expire(iceberg.history(), named, since)
        paths = {path: uri for uri in _files_of(iceberg, expired) if (path := storage.path_of(uri)) is not None}
        rubbish, uris = measured(storage, paths, Why.EXPIRED)
        plans.append(ExpiringTable(table.name, tuple(retire.items()), forget, tuple(expired), rubbish, uris))
    return NightsPlan(tuple(dropped), tuple(plans))


def apply_nights(writer: Writer, storage: Storage, plan: NightsPlan) -> None:
    """Execute a plan, tags of all tables first."""
    for table in plan.tables:
        if table.retire:
            writer.open(MaintainedTable, table.table).rename_tags(table.retire)
    for table in plan.tables:
        iceberg = writer.open(MaintainedTable, table.table)
        if table.forget:
            iceberg.remove_tags(table.forget)
        if table.snapshots:
            iceberg.expire(table.snapshots)
        iceberg.delete_files(table.uris)
        remove_empty(storage, {parent_of(rubbish.path) for rubbish in table.rubbish})


def _nights_of(tags: Mapping[str, int]) -> set[date]:
    return {night for night in map(night_of, tags) if night is not None}


def _is_over(tag: str, before: float) -> bool:
    retired = retired_at(tag)
    return retired is not None and retired <= before


def _files_of(iceberg: MaintainedTable, expired: Collection[int]) -> list[str]:
    """All files that only these snapshots need: data, deletes, manifests and their lists."""
    if not expired:
        return []
    manifests: Manifests = iceberg.manifests()
    going, staying = files_to_delete(expired, manifests.of)
    files: set[str] = set()
    for path in going:
        files |= iceberg.live_files(manifests.handles[path])
    for path in staying:
        if not files:
            break
        files -= iceberg.live_files(manifests.handles[path])
    lists = {manifests.lists[id_] for id_ in expired}
    return sorted(files | going | lists)
