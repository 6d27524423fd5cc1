"""A night costs what changed: rows written to every table, and files of buckets in which nothing changed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import pytest
from pyspark.sql import SparkSession

from pipeline.model.origin import Origin, bucket_of
from pipeline.model.tables import ALL, NAMESPACE
from pipeline.model.visit import VisitStatus
from pipeline.night.derive import derive
from pipeline.night.publish import publish
from pipeline.night.seal import seal
from pipeline.read.inventory.named import table_folders
from pipeline.storage.interface import Storage
from pipeline.tables.iceberg import IcebergTable, Snapshot, full_name
from pipeline.tables.writer import unleased
from tests.support.tables import made_once
from tests.tables.conftest import add, night
from tests.tables.landing import BUCKETS, MadeLoad, Tree

MOST = 3
"""Rows that may be written for one that changed."""

SCALE = Path(__file__).parents[2] / "docs" / "scale.md"
ROOT, MERGING = "https://example.org/root", "https://example.org/merging"
FORKS, OTHERS = ([f"https://example.org/{kind}{n}" for n in range(count)] for kind, count in (("fork", 4), ("o", 36)))
ORIGINS = {url: Origin(url, ROOT if url in FORKS else None) for url in (ROOT, MERGING, *FORKS, *OTHERS)}
PUSHING = (ROOT, MERGING, FORKS[1], OTHERS[3])
FILES = 12

Folder: TypeAlias = dict[bytes, bytes]


class Nights:
    """Nights in which few of many origins push an edit of one file, in the folder ``src``, and a tag of it.

    ``MERGING`` brings its edits on a branch before it puts them at HEAD.
    """

    def __init__(self, spark: SparkSession, storage: Storage) -> None:
        self.spark, self.storage, self.day = spark, storage, 1
        self.src: dict[str, Folder] = {url: {b"%d.c" % n: b"int x%d;\n" % n for n in range(FILES)} for url in ORIGINS}
        self.archived: set[tuple[str, int, bytes]] = set()

    def first(self) -> MadeLoad:
        """The night on which all origins are new."""
        load = self._load()
        for origin in ORIGINS.values():
            self._push(load, origin)
        merging = ORIGINS[MERGING]
        for day in (3, 4):
            tree: Tree = {b"src": self._edited(MERGING, day), b"README": b"r\n"}
            side = load.commit(merging.network, load.tree(merging.network, tree, at_head=False), message="side")
            load.ref(merging, f"refs/heads/side{day}", side)
        return self._without_archived(load)

    def next(self, pushing: Collection[str], visited: Collection[str]) -> MadeLoad:
        """A night on which some push, and nothing is new of all others that are visited."""
        load = self._load()
        for url in pushing:
            self.src[url] = self._edited(url, self.day)
            self._push(load, ORIGINS[url])
        for url in set(visited) - set(pushing):
            load.visit(ORIGINS[url], VisitStatus.UNCHANGED)
        return self._without_archived(load)

    def finish(self, load: MadeLoad) -> None:
        """Publish, derive and seal a night, and see that nothing was left out."""
        writer = unleased(self.spark)
        published = publish(writer, self.storage, load.load, load.write(), load.run_id)
        derived = derive(writer, self.storage, load.load)
        seal(writer, load.load)
        assert (published.visits.damaged, derived.damaged, derived.left_out) == ((), (), {})

    def _load(self) -> MadeLoad:
        self.day += 1
        return MadeLoad(self.storage, night(self.day), f"run{self.day}")

    def _edited(self, url: str, day: int) -> Folder:
        return {**self.src[url], b"0.c": f"int y{day}; // {url}\n".encode()}

    def _push(self, load: MadeLoad, origin: Origin) -> None:
        tree = load.tree(origin.network, {b"src": self.src[origin.url], b"README": b"r\n"})
        commit = load.commit(origin.network, tree, message=f"{origin.url} {self.day}")
        name = f"{self.day} of {origin.url}"
        load.ref(origin, f"refs/tags/v{self.day}", load.tag(origin.network, commit, name=name), peeled=commit)
        load.push(origin, commit)

    def _without_archived(self, load: MadeLoad) -> MadeLoad:
        for table, rows in load.rows.items():
            if rows and "oid" in rows[0]:
                load.rows[table] = [row for row in rows if (table, row["network"], row["oid"]) not in self.archived]
                self.archived |= {(table, row["network"], row["oid"]) for row in rows}
        return load


@made_once
def first_night(spark: SparkSession, storage: Storage) -> None:
    add(spark, *((url, ROOT) if url in FORKS else url for url in ORIGINS))
    nights = Nights(spark, storage)
    nights.finish(nights.first())


@pytest.fixture
def nights(spark: SparkSession, storage: Storage) -> Nights:
    """The archive after its first night."""
    first_night(spark, storage)
    nights = Nights(spark, storage)
    nights.first()
    return nights


@dataclass(frozen=True)
class Stored:
    """A table: its rows as they are stored, and its snapshots by id."""

    rows: Counter[str]
    snapshots: dict[int, Snapshot]

    @classmethod
    def of(cls, spark: SparkSession, name: str) -> Stored:
        namespace, _, table = name.rpartition(".")
        iceberg = IcebergTable(spark, table, namespace)
        spark.catalog.refreshTable(iceberg.name)
        rows = Counter(map(str, spark.table(iceberg.name).collect()))
        return cls(rows, {snapshot.id: snapshot for snapshot in iceberg.snapshots()})

    def changed_since(self, before: Stored) -> int:
        """Rows that came or went, whichever are more, so that one with another value counts once."""
        return max((self.rows - before.rows).total(), (before.rows - self.rows).total())

    def written_since(self, before: Stored) -> int:
        return sum(written(self.snapshots[id_]) for id_ in self.snapshots.keys() - before.snapshots.keys())


def written(snapshot: Snapshot) -> int:
    """Rows that a commit wrote, and those that it removed from files that stay, by Iceberg's own counts."""

    def count(key: str) -> int:
        return int(snapshot.summary.get(key, 0))

    removed = count("added-position-deletes") - count("removed-position-deletes")  # a vector repeats what it replaces
    assert count("added-dvs") <= max(removed, 0), "each vector that is written has a row that went"
    return count("added-records") + max(removed, 0)


def all_tables(nights: Nights) -> dict[str, Stored]:
    """Every table in the archive, by full name."""
    return {name: Stored.of(nights.spark, name) for name in table_folders(nights.storage)}


def changed_rows(pushed: int, visited: int) -> dict[str, int]:
    """What docs/scale.md says that changes, of each table: edits of one file in a folder, one of them merged."""
    return {
        "contents": pushed,
        "blobs": pushed - 1,
        "trees": 2 * pushed,
        "tags": pushed,
        "commits": pushed,
        "refs": 3 * pushed,
        "files": 2 * pushed,
        "head_blobs": pushed,
        "repositories": pushed,
        "visits": visited,
        "origins": visited,
    }


@pytest.mark.slow
def test_at_most_three_rows_are_written_for_one_that_changed(nights: Nights) -> None:
    """First only those are due that changed, then all."""
    before = all_tables(nights)
    assert before[f"{NAMESPACE}.files"].rows.total() == (2 + len(OTHERS)) * (FILES + 2), "forks share their root's line"
    for visited in (PUSHING, ORIGINS):
        expected = changed_rows(len(PUSHING), len(visited))
        assert expected.keys() == {table.name for table in ALL}
        nights.finish(nights.next(PUSHING, visited))
        after = all_tables(nights)
        changed = {name: stored.changed_since(before[name]) for name, stored in after.items()}
        assert changed == {name: expected.get(name.removeprefix(f"{NAMESPACE}."), 0) for name in after}
        wrote = {name: stored.written_since(before[name]) for name, stored in after.items()}
        assert {name: rows for name, rows in wrote.items() if rows > MOST * changed[name]} == {}
        assert all(wrote[name] >= changed[name] for name in after), "what is counted as written is all of it"
        before = after


def test_the_page_says_of_every_table_what_a_changed_row_is() -> None:
    (section,) = re.findall(r"^## Rows that a night writes\n(.*?)^## ", SCALE.read_text(), re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    said = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(said) == sorted(table.name for table in ALL)


def data_files(spark: SparkSession, table: str, condition: str) -> list[Path]:
    found = spark.table(f"{full_name(table)}.files").where(condition).select("file_path").collect()
    return [Path(urlsplit(row["file_path"]).path) for row in found]


@pytest.mark.slow
def test_files_of_unchanged_buckets_are_not_opened(nights: Nights, tmp_path: Path) -> None:
    """They are not even there while a night of one bucket is published, derived and sealed."""
    bucket = bucket_of(ORIGINS[ROOT].network, BUCKETS)
    away = [path for table in ALL for path in data_files(nights.spark, table.name, f"partition.bucket <> {bucket}")]
    assert len(away) >= len(ALL) * (BUCKETS - 1)
    before = all_tables(nights)
    for number, path in enumerate(away):
        path.rename(tmp_path / str(number))
    nights.finish(nights.next([ROOT, FORKS[0]], [ROOT, *FORKS]))
    for number, path in enumerate(away):
        (tmp_path / str(number)).rename(path)
    after = all_tables(nights)
    assert {name for name in after if after[name].rows != before[name].rows} == {
        f"{NAMESPACE}.{table.name}" for table in ALL
    }
