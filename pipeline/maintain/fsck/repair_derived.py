"""Rebuilds the derived tables of a bucket."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from pipeline.maintain.fsck.branches import BranchedTable
from pipeline.model.layout import WAREHOUSE, Load
from pipeline.model.tables import DERIVED_NAMES, NAMESPACE, REFS, REPOSITORIES
from pipeline.night.derive import derive_all_fit, owe
from pipeline.read.inventory.named import Role, TableFiles, read_table
from pipeline.storage.interface import Storage
from pipeline.tables.iceberg import NewFile, full_name
from pipeline.tables.writer import Writer


def rebuild(writer: Writer, storage: Storage, bucket: int, bad: Collection[str]) -> list[str]:
    """Empty a bucket of the derived tables and derive it again; return what was done.

    If this is killed, or Spark cannot derive a network, the bucket is derived with the next load. Past nights that have
    the replaced files of the bucket, or since which none of its refs changed, get the new files, unless part of it
    could not be derived; for other nights the report names the file.

    Args:
        bad: paths of files at fault.
    """
    before = {name: _read(storage, name) for name in DERIVED_NAMES}
    writer.check_lease()
    owe(storage, bucket, "a repair has emptied it")
    for name in DERIVED_NAMES:
        with writer.table(name).committing():
            writer.spark.sql(f"DELETE FROM {full_name(name)} WHERE bucket = {bucket}")  # noqa: S608 - names of ours
    derived = derive_all_fit(writer, storage, Load(date.max, "repair"), [bucket])
    done = [f"bucket {bucket}: {', '.join(DERIVED_NAMES)} derived again for {derived.moved} origins"]
    if bucket in derived.left_out:
        return [*done, f"bucket {bucket}: not all of it, a later load tries again: {derived.left_out[bucket]}"]
    unmoved = _unmoved(_read(storage, REFS.name), bucket)
    files, *others = (before[name] for name in DERIVED_NAMES)
    healed = _nights_with(files, bucket, set(bad))
    for name, table in zip(DERIVED_NAMES, (files, *others), strict=True):
        # A night's `repositories` says which lines of its `files` belong to an origin.
        with_files = healed if name == REPOSITORIES.name else set()
        done += _heal_nights(writer, storage, name, table, bucket, set(bad), unmoved, with_files)
    return done


def _nights_with(table: TableFiles, bucket: int, bad: set[str]) -> set[str]:
    """Tags of the nights that have files at fault in a bucket."""
    return {
        tag for at, tags in table.tags_at().items() if not bad.isdisjoint(_files(table, at, bucket)) for tag in tags
    }


def _unmoved(refs: TableFiles, bucket: int) -> set[str]:
    """Tags of the nights since which no ref of a bucket has changed."""
    now = _files(refs, refs.current, bucket)
    return {tag for at, tags in refs.tags_at().items() if _files(refs, at, bucket) == now for tag in tags}


def _read(storage: Storage, name: str) -> TableFiles:
    return read_table(storage, f"code.{name}", f"{WAREHOUSE}/{NAMESPACE}/{name}")


def _files(table: TableFiles, snapshot: int | None, bucket: int, role: Role | None = None) -> set[str]:
    """Paths of a bucket's data files and deletion vectors, or of those with one role."""
    live = () if snapshot is None else table.live(snapshot)
    return {file.path for file in live if file.bucket == bucket and role in (None, file.role)}


def _heal_nights(
    writer: Writer,
    storage: Storage,
    name: str,
    before: TableFiles,
    bucket: int,
    bad: set[str],
    unmoved: set[str],
    healed: set[str],
) -> list[str]:
    done = []
    after = _read(storage, name)
    replaced = _files(before, before.current, bucket)
    new = [NewFile(storage.uri(path), bucket) for path in sorted(_files(after, after.current, bucket, Role.DATA))]
    for snapshot, tags in before.tags_at().items():
        mine = _files(before, snapshot, bucket)
        if bad.isdisjoint(mine) and healed.isdisjoint(tags):
            continue
        if mine != replaced and not unmoved.issuperset(tags):
            done.append(f"bucket {bucket}: {name} of {', '.join(sorted(tags))} stays damaged, HEAD has moved since")
            continue
        table = writer.open(BranchedTable, name)
        table.begin(storage, snapshot, bucket, mine)
        table.add(new)
        table.become_tags(tags)
        done.append(f"bucket {bucket}: {name} of {', '.join(sorted(tags))} has its rows again")
    return done
