"""Files in the tables' folders that no snapshot needs: leftovers of killed writers and killed housekeeping."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pyspark.sql import SparkSession

from pipeline.maintain.rubbish import Rubbish, Why, may_go, measured, remove_empty
from pipeline.model.tables import ALL, Table
from pipeline.storage.interface import Storage
from pipeline.storage.paths import parent_of
from pipeline.tables.maintained import MaintainedTable
from pipeline.tables.writer import Writer


@dataclass(frozen=True, slots=True)
class Unreferenced:
    """Files of one table; ``uris`` are those of ``rubbish``, in the same order."""

    table: str
    rubbish: tuple[Rubbish, ...]
    uris: tuple[str, ...]


def plan_unreferenced(
    spark: SparkSession,
    storage: Storage,
    *,
    untouched_since: float,
    published: Collection[str],
    tables: Iterable[Table] = ALL,
) -> list[Unreferenced]:
    """Find them, table by table; tables without any are missing. Changes nothing.

    Args:
        untouched_since: seconds since 1970 UTC; a file that changed later may be committed at any moment.
        published: names of the published loads; the folders of other loads are left alone.
        tables: where to look.
    """
    found = []
    for table in tables:
        uris = MaintainedTable(spark, table.name).unreferenced(untouched_since)
        paths = {path: uri for uri in uris if (path := storage.path_of(uri)) is not None}
        rubbish, going = measured(
            storage, {p: paths[p] for p in may_go(paths, table.name, published)}, Why.UNREFERENCED
        )
        if going:
            found.append(Unreferenced(table.name, rubbish, going))
    return found


def apply_unreferenced(writer: Writer, storage: Storage, found: Collection[Unreferenced]) -> None:
    """Delete these files, and folders of loads that are empty then."""
    for unreferenced in found:
        writer.open(MaintainedTable, unreferenced.table).delete_files(unreferenced.uris)
        remove_empty(storage, {parent_of(rubbish.path) for rubbish in unreferenced.rubbish})
