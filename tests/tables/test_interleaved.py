"""Random writers, each committing between another one's read and commit, against a model.

One writer starts; right before one of its commits the next one runs to its end, which in turn is interrupted by the
next, and so on. Whatever is drawn, the tables must end as if all had run one after another, the innermost first.
``HYPOTHESIS_PROFILE=deep`` draws a hundred times as many.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from pipeline.maintain.rewrite import SmallFiles, apply_small_files
from pipeline.model.layout import result_path
from pipeline.model.origin import Origin, OriginState
from pipeline.model.pattern import Pattern
from pipeline.model.visit import LOGIN_REQUIRED, VisitStatus
from pipeline.night.derive import derive
from pipeline.night.opt_outs import opt_outs
from pipeline.night.origins import add_origins
from pipeline.night.publish import publish
from pipeline.night.standing import bring_back, mark_gone, opt_out, pause, resume, save
from pipeline.read.submit.results import Lineage, write_result
from pipeline.rules.origins import LOOKED_AT
from pipeline.storage.interface import Storage
from pipeline.tables.conflicts import see
from pipeline.tables.doubles import find_doubles
from pipeline.tables.file_rows import file_rows
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import IcebergTable
from pipeline.tables.writer import unleased
from tests.tables.conftest import ADDED, night
from tests.tables.landing import BUCKETS, MadeLoad
from tests.tables.test_writers import session_beside

MEMBERS = 4
"""Origins that the writers of one example share."""

examples, loads = count(), count(1)


@dataclass(frozen=True)
class Writer:
    """A drawn writer: its action, its shared origins, and the commit before which the next writer runs."""

    does: str
    members: frozenset[int]
    commit: int


@dataclass
class World:
    """One example: the tables, and their expected rows."""

    spark: SparkSession
    storage: Storage
    name: str
    states: dict[str, OriginState] = field(default_factory=dict)
    visited: dict[str, VisitStatus] = field(default_factory=dict)
    put_off: set[str] = field(default_factory=set)
    """Origins that are due on a night, not at once."""
    asked: set[str] = field(default_factory=set)
    """Those that were asked for after the times of all loads here."""
    texts: dict[str, bytes] = field(default_factory=dict)
    """By origin that a night saw: what the load published last brought."""
    results: set[int] = field(default_factory=set)
    sessions: list[SparkSession] = field(default_factory=list)
    """One of each writer that is under way: what a commit needs of its session is not another writer's."""

    def url(self, member: int) -> str:
        return f"https://example.org/{self.name}/{member}"

    def known(self, writer: Writer) -> list[str]:
        return [url for member in sorted(writer.members) if (url := self.url(member)) in self.states]

    def run(self, writers: list[Writer], depth: int = 0) -> None:
        """Run the first writer, with the others inside it, or after it if it commits less often."""
        if not writers:
            return
        first, *rest = writers
        with before_commit(first.commit, lambda: self.run(rest, depth + 1)) as ran:
            while len(self.sessions) <= depth:
                self.sessions.append(session_beside(self.spark) if self.sessions else self.spark)
            getattr(self, first.does)(first, self.sessions[depth])
        if not ran():
            self.run(rest, depth + 1)

    # Each does its work and then updates the model

    def add(self, writer: Writer, spark: SparkSession) -> None:
        add_origins(spark, [Origin(self.url(member)) for member in sorted(writer.members)], BUCKETS, ADDED)
        for member in writer.members:
            self.states.setdefault(self.url(member), OriginState.ACTIVE)

    def pause(self, writer: Writer, spark: SparkSession) -> None:
        self._set(pause, writer, spark, OriginState.PAUSED, stays=OriginState.OPTED_OUT)

    def opt_out(self, writer: Writer, spark: SparkSession) -> None:
        self._set(opt_out, writer, spark, OriginState.OPTED_OUT)

    def resume(self, writer: Writer, spark: SparkSession) -> None:
        self._set(resume, writer, spark, OriginState.ACTIVE)

    def _set(
        self,
        change: Callable[..., object],
        writer: Writer,
        spark: SparkSession,
        state: OriginState,
        stays: OriginState | None = None,
    ) -> None:
        named = self.known(writer)  # the others may be added before the commit, or after it
        if named:
            change(spark, [Pattern(url) for url in named])
        changed = [url for url in named if self.states[url] not in (state, stays) or state is OriginState.ACTIVE]
        self.states |= dict.fromkeys(changed, state)
        self.put_off -= set(changed)

    def save(self, writer: Writer, spark: SparkSession) -> None:
        named = self.known(writer)
        if named:
            save(spark, [Pattern(url) for url in named])
        looked_at = {url for url in named if self.states[url] in LOOKED_AT}
        self.asked |= looked_at
        self.put_off -= looked_at

    def list_gone(self, writer: Writer, spark: SparkSession) -> None:
        """What a merge of listings does with repositories that are not listed."""
        named = self.known(writer)
        if named:
            mark_gone(unleased(spark), self._frame(spark, named), night(2))
        for url in named:
            hidden = self.visited.get(url) is VisitStatus.REFUSED and url in self.put_off
            if hidden and self.states[url] is OriginState.ACTIVE:
                self.states[url] = OriginState.GONE

    def list_back(self, writer: Writer, spark: SparkSession) -> None:
        """What it does with those that are listed again."""
        named = self.known(writer)
        if named:
            bring_back(unleased(spark), self._frame(spark, named))
        for url in named:
            if self.states[url] is OriginState.GONE:
                self.states[url] = OriginState.ACTIVE
                self.put_off.discard(url)

    def _frame(self, spark: SparkSession, urls: list[str]) -> DataFrame:
        return local_frame(spark, [(url,) for url in urls], pa.schema([("url", pa.string())]))

    def fail(self, writer: Writer, spark: SparkSession) -> None:
        """Publish a load in which visits failed."""
        self._fail(writer, spark, VisitStatus.FAILED, "timeout")

    def hide(self, writer: Writer, spark: SparkSession) -> None:
        """Publish a load in which servers asked for a login."""
        self._fail(writer, spark, VisitStatus.REFUSED, LOGIN_REQUIRED)

    def _fail(self, writer: Writer, spark: SparkSession, status: VisitStatus, error: str) -> None:
        landing = self._landing()
        named = self.known(writer)
        if not named:
            return
        for url in named:
            landing.visit(Origin(url), status, error)
        publish(unleased(spark), self.storage, landing.load, landing.write(), landing.run_id)
        self.visited |= dict.fromkeys(named, status)
        self.put_off |= {*named} - self.asked

    def fetch(self, writer: Writer, spark: SparkSession) -> None:
        """Complete a load that brings commits, from its audit to its derived tables."""
        landing = self._landing()
        named = self.known(writer)[:2]
        if not named:
            return
        for url in named:
            origin, text = Origin(url), f"{landing.run_id} {url}\n".encode()
            tree = landing.tree(origin.network, {b"a.py": text})
            landing.push(origin, landing.commit(origin.network, tree, message=landing.run_id))
        real = IcebergTable.append_files

        def watched(table: IcebergTable, *arguments: object) -> None:
            real(table, *arguments)  # type: ignore[arg-type]
            if table.name.endswith(".refs") and arguments[1]["pipeline.load"] == landing.load.name:  # type: ignore[index]
                self.texts |= {url: f"{landing.run_id} {url}\n".encode() for url in named}

        with patch.object(IcebergTable, "append_files", watched):
            publish(unleased(spark), self.storage, landing.load, landing.write(), landing.run_id)
        self.visited |= dict.fromkeys(named, VisitStatus.FULL)
        self.put_off |= {*named} - self.asked
        self.states |= {url: OriginState.ACTIVE for url in named if self.states[url] in LOOKED_AT}
        derive(unleased(spark), self.storage, landing.load)

    def submit(self, writer: Writer, spark: SparkSession) -> None:
        value = next(loads)
        rows = spark.sql(f"SELECT {value} AS n")
        write_result(spark, self.storage, Lineage(self.name, "1", (), night(2), {"files": value}), rows)
        self.results.add(value)

    def rewrite(self, writer: Writer, spark: SparkSession) -> None:
        for table in ("origins", "visits"):
            small = [SmallFiles(table, bucket, 2, 0) for bucket in range(BUCKETS)]
            apply_small_files(unleased(spark), self.storage, small, small_bytes=1 << 20, on_damage=pytest.fail)

    def _landing(self) -> MadeLoad:
        number = next(loads)
        return MadeLoad(self.storage, night(1).replace(year=2000 + number), f"run{number}")

    def check(self) -> None:
        mine = f"url LIKE 'https://example.org/{self.name}/%'"
        rows = see(self.spark, "origins").rows().where(mine).collect()
        assert sorted((row.url, row.state, row.last_status, row.next_due is not None) for row in rows) == sorted(
            (url, str(state), self.visited.get(url), url in self.put_off) for url, state in self.states.items()
        )
        rules = opt_outs(self.spark)
        ruled = {url for url in self.states if rules.rule_for(url) is not None}
        assert ruled == {url for url, state in self.states.items() if state == OriginState.OPTED_OUT}
        theirs = mine.replace("url", "origin")
        found = see(self.spark, "repositories").rows().where(theirs).collect()
        assert sorted((row.origin, row.bytes) for row in found) == sorted(
            (url, len(text)) for url, text in self.texts.items()
        )
        shown = file_rows(see(self.spark, "files").rows(), see(self.spark, "repositories").rows())
        files = shown.where(theirs).select("origin", "oid")
        blobs = see(self.spark, "contents").rows().select("oid", "content")
        held = {(row.origin, bytes(row.content)) for row in files.join(blobs, "oid").collect()}
        assert held == set(self.texts.items())
        for table in ("visits", "refs", "contents"):
            paths = [r.file_path for r in self.spark.table(f"archive.code.{table}.files").collect()]
            assert len(paths) == len(set(paths))
        if self.results:
            (row,) = see(self.spark, self.name, "results").rows().collect()
            (run,) = see(self.spark, "runs", "results").rows().where(f"job = '{self.name}'").collect()
            told = json.loads(self.storage.read(result_path(self.name, night(2))))
            assert row.n in self.results
            assert row.n == told["snapshots"]["files"] == json.loads(run.snapshots)["files"]
        assert find_doubles(self.spark) == []


@contextmanager
def before_commit(number: int, act: Callable[[], object]) -> Iterator[Callable[[], bool]]:
    """Act right before the commit of this number inside the block; yield a check whether that happened."""
    real, left = IcebergTable.committing, [number]

    def committing(table: IcebergTable) -> AbstractContextManager[None]:
        left[0] -= 1
        if left[0] == -1:
            with patch.object(IcebergTable, "committing", real):
                act()
        return real(table)

    with patch.object(IcebergTable, "committing", committing):
        yield lambda: left[0] < 0


writers = st.builds(
    Writer,
    st.sampled_from(
        [
            *("add", "pause", "resume", "opt_out", "save", "fail", "hide", "list_gone", "list_back"),
            *("fetch", "submit", "rewrite"),
        ]
    ),
    st.frozensets(st.integers(0, MEMBERS - 1), min_size=1),
    st.integers(0, 9),
)
ALL = frozenset(range(MEMBERS))


@pytest.mark.slow
@settings(
    max_examples=max(settings.default.max_examples // 50, 1),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(drawn=[Writer("fail", ALL, 1), Writer("add", ALL, 0), Writer("rewrite", ALL, 0)])
@example(drawn=[Writer("fetch", frozenset({0}), 7), Writer("pause", ALL, 0), Writer("resume", ALL, 0)])
@example(drawn=[Writer("fetch", frozenset({0}), 6), Writer("fetch", frozenset({0, 1}), 0)])
@example(drawn=[Writer("opt_out", ALL, 1), Writer("resume", ALL, 1), Writer("opt_out", ALL, 0)])
@example(drawn=[Writer("hide", ALL, 9), Writer("list_gone", ALL, 0), Writer("save", frozenset({0}), 9)])
@example(
    drawn=[
        *(Writer("hide", ALL, 9), Writer("list_gone", ALL, 9)),
        *(Writer("list_back", ALL, 0), Writer("opt_out", frozenset({0}), 0), Writer("fail", frozenset({1}), 0)),
    ]
)
@given(drawn=st.lists(writers, min_size=2, max_size=4))
def test_writers_end_as_if_they_had_taken_turns(drawn: list[Writer], spark: SparkSession, storage: Storage) -> None:
    world = World(spark, storage, f"x{next(examples)}")
    add_origins(spark, [Origin(world.url(member)) for member in range(2)], BUCKETS, ADDED)
    world.states = {world.url(member): OriginState.ACTIVE for member in range(2)}
    world.run(drawn)
    world.check()
    if world.results:
        spark.sql(f"DROP TABLE archive.results.{world.name} PURGE")
