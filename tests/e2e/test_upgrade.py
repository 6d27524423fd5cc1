"""``pipeline upgrade`` of archives that hold nights: nothing is lost, restores stay exact, any death is made up for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipeline.context.archive import FORMAT, find_any_archive
from pipeline.context.workplace import Workplace
from pipeline.maintain.run_upgrade import run_upgrade
from pipeline.model.layout import ARCHIVE, WAREHOUSE
from pipeline.model.tables import ALL, FILES, HEAD_BLOBS, NAMESPACE, REPOSITORIES
from pipeline.read.inventory.ledger import add_recording
from pipeline.storage.local import LocalStorage
from pipeline.tables.iceberg import IcebergTable, full_name
from tests.e2e.archive import Archive, Place, night
from tests.support.git import put_tag, resolve, set_refs
from tests.support.older import lacking, make_older
from tests.support.repos import add_commits, build_graph, compare, fork_of
from tests.support.sample import of_the_day
from tests.support.servers import git_daemon
from tests.support.spark import forget_tables

pytestmark = pytest.mark.slow

WHEN = ("run_id", "started_at", "duration_s", "last_visit", "added_at", "pack_bytes", "changes", "silent", "watched")
"""Columns that differ between any two runs."""

REPOS = ("root", "fork", "other")
BEFORE = (1, 2)
"""Nights before the upgrade."""

FORMATS = [str(number) for number in range(1, FORMAT)]
RECORD = "pipeline.maintain.run_upgrade.add_recording"
TABLES = f"{WAREHOUSE}/{NAMESPACE}"
MOST_DEATHS = 100
MADE_ANEW = (FILES.name, HEAD_BLOBS.name, REPOSITORIES.name)
"""Tables whose rows take today's form when a HEAD moves."""

Rows = dict[str, list[dict[str, Any]]]
Form = dict[str, Any]


@dataclass
class Aged:
    """An archive of two nights, which tests make older, and its rows on three nights while it never was."""

    archive: Archive
    urls: dict[str, str]
    originals: Path
    today: dict[int, Rows] = field(default_factory=dict)
    form: Form = field(default_factory=dict)
    restores: int = 0

    @property
    def _root(self) -> Path:
        return Path(urlsplit(self.archive.storage.root_uri).path)

    def save(self) -> None:
        shutil.copytree(self._root, self._root.with_name("second"))

    def back(self) -> None:
        """Reset the archive to its second night."""
        shutil.rmtree(self._root)
        shutil.copytree(self._root.with_name("second"), self._root)
        forget_tables(self.archive.spark)

    def older(self, format_: int) -> Archive:
        """The archive after its second night, in the form of an earlier format."""
        self.back()
        make_older(self.archive.read(), self.archive.storage, format_)
        return self.archive

    def rows(self, day: int) -> Rows:
        """What readers see on a night."""
        found = self.archive.read(day)
        return {table.name: [row.asDict() for row in found.table(table.name).collect()] for table in ALL}

    def stored(self) -> Rows:
        """What the tables hold now."""
        spark = self.archive.spark
        return {table.name: [row.asDict() for row in spark.table(full_name(table.name)).collect()] for table in ALL}

    def restored_differ(self, day: int) -> list[str]:
        """Differences that C git finds between what the server had on a night and what the archive restores of it."""
        found = []
        for name, url in self.urls.items():
            self.restores += 1
            to = self.archive.restore(url, self.archive.folder / f"restored-{self.restores}.git", day=day)
            found += compare(self.originals / str(day) / f"{name}.git", to)
        return found

    def check(self, before: Rows, format_: int) -> None:
        """The archive was upgraded from a format; ``before`` is what its tables held."""
        assert form_of(self.archive) == self.form
        assert comparable(self.stored()) == comparable(before)
        for day in BEFORE:
            assert comparable(self.rows(day)) == comparable(without(self.today[day], format_))
            assert self.restored_differ(day) == []
        assert self.archive.ask("fsck")["findings"] == []


def form_of(archive: Archive) -> Form:
    """Of each table the columns with their types, the properties, and the order of its rows."""
    tables = {}
    for table in ALL:
        metadata = IcebergTable(archive.spark, table.name)._metadata()
        properties = {key: value for key, value in metadata["properties"].items() if key.startswith("write.")}
        (schema,) = (each for each in metadata["schemas"] if each["schema-id"] == metadata["current-schema-id"])
        (order,) = (each for each in metadata["sort-orders"] if each["order-id"] == metadata["default-sort-order-id"])
        names = {column["id"]: column["name"] for column in schema["fields"]}
        types = sorted(archive.spark.table(full_name(table.name)).dtypes)
        tables[table.name] = (types, properties, [names[column["source-id"]] for column in order["fields"]])
    return tables


def comparable(rows: Rows, *ignored: str) -> dict[str, list[str]]:
    """Rows in an order; a column that a row lacks is as good as null."""
    return {
        name: sorted(
            repr(sorted((k, v) for k, v in row.items() if v is not None and k not in ignored)) for row in found
        )
        for name, found in rows.items()
    }


def without(rows: Rows, format_: int) -> Rows:
    """Rows with nothing in the columns that the format lacks."""
    lost = {name: dict.fromkeys(columns) for name, columns in lacking(format_).items()}
    return {name: [row | lost.get(name, {}) for row in found] for name, found in rows.items()}


@pytest.fixture(scope="module")
def aged(one_spark: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aged]:
    served, originals = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("originals")
    with git_daemon(served) as server:
        first_day(served)
        place = Place("local", str(tmp_path_factory.mktemp("archives")))
        archive = Archive.at(place, tmp_path_factory.mktemp("aged"), "aged")
        found = Aged(archive, {name: server.url(f"{name}.git") for name in REPOS}, originals)
        archive.init()
        archive.add(found.urls["root"], (found.urls["fork"], found.urls["root"]), found.urls["other"])
        archive.nightly(1)
        shutil.copytree(served, originals / "1")
        second_day(served)
        archive.nightly(2)
        shutil.copytree(served, originals / "2")
        found.save()
        found.form = form_of(archive)
        third_day(served)
        archive.nightly(3)
        shutil.copytree(served, originals / "3")
        found.today = {day: found.rows(day) for day in (1, 2, 3)}
        yield found


def first_day(served: Path) -> None:
    root = served / "root.git"
    build_graph(root, [[1], [2, 1], [3, 1, 2]])
    add_commits(root, 3, label="root")
    add_commits(root, 2, branch="side", label="side")
    set_refs(root, {b"refs/tags/v1": put_tag(root, resolve(root, "main"), "commit", "v1")})
    fork_of(root, served / "fork.git")
    build_graph(served / "other.git", [[1], [2, 1]])


def second_day(served: Path) -> None:
    add_commits(served / "root.git", 2, label="second")
    add_commits(served / "fork.git", 1, branch="topic", label="topic")


def third_day(served: Path) -> None:
    for name in REPOS:
        add_commits(served / f"{name}.git", 1, label=f"third {name}")


@pytest.mark.parametrize("format_", of_the_day(FORMATS))
def test_an_upgraded_archive_reads_restores_and_goes_on_as_one_of_today(
    aged: Aged, tmp_path: Path, format_: str
) -> None:
    number = int(format_)
    archive = aged.older(number)
    before = aged.stored()
    for words in (["nightly", "--night", "2026-11-03"], ["restore", aged.urls["root"], tmp_path / "refused.git"]):
        assert "run `pipeline upgrade`" in archive.run(*words, code=2).stderr
    assert archive.ask("upgrade") == {"location": archive.storage.root_uri, "before": number, "format": FORMAT}
    aged.check(before, number)

    archive.nightly(3)
    third, today = aged.rows(3), aged.today[3]
    assert comparable(without(third, number), *WHEN) == comparable(without(today, number), *WHEN)
    for name in MADE_ANEW:
        assert comparable({name: third[name]}) == comparable({name: today[name]})
    assert archive.spark.table(full_name(FILES.name)).where("line IS NULL").isEmpty()
    dates, expected = (
        sorted((row["origin"], row["newest_commit"]) for row in rows["visits"] if row["night"] == night(3))
        for rows in (third, today)
    )
    assert dates == expected
    for day in (*BEFORE, 3):
        assert aged.restored_differ(day) == []
    assert archive.ask("fsck", "--deep")["findings"] == []


class Died(BaseException):
    """The process ended here."""


@contextmanager
def dies_after_one_change(archive: Archive) -> Iterator[None]:
    """An upgrade inside dies as soon as it has changed the archive."""
    with pytest.MonkeyPatch.context() as patch:
        committing, replace, record = IcebergTable.committing, LocalStorage.replace, add_recording

        @contextmanager
        def commits(table: IcebergTable) -> Iterator[None]:
            before = list(archive.storage.walk(TABLES))
            with committing(table):
                yield
            if before != list(archive.storage.walk(TABLES)):
                raise Died

        def replaces(storage: LocalStorage, path: str, data: bytes) -> None:
            replace(storage, path, data)
            if path == ARCHIVE:
                raise Died

        def records(*arguments: Any) -> None:
            record(*arguments)
            patch.setattr(RECORD, record)  # the next one would record the same again
            raise Died

        patch.setattr(IcebergTable, "committing", commits)
        patch.setattr(LocalStorage, "replace", replaces)
        patch.setattr(RECORD, records)
        yield


def test_an_upgrade_that_dies_after_each_change_is_completed_by_the_next_ones(aged: Aged) -> None:
    aged.back()
    today = find_any_archive(aged.archive.storage)
    archive = aged.older(1)
    before = aged.stored()
    place = Workplace(archive.config, archive.storage)
    deaths = 0
    with dies_after_one_change(archive):
        while find_any_archive(archive.storage) != today:
            with suppress(Died):
                run_upgrade(place)
            deaths += 1
            assert deaths < MOST_DEATHS, "upgrades that die do not get further"
    assert deaths >= 2 * len(lacking(1)) + 2  # columns and a snapshot of each, the record, the format
    assert archive.ask("upgrade")["before"] == FORMAT
    aged.check(before, 1)
