"""Pausing, opting out and resuming origins, beside other writers of the same table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

import pytest
from pyspark.sql import Row, SparkSession

from pipeline.model.layout import Load
from pipeline.model.origin import Origin, bucket_of
from pipeline.model.pattern import parse_pattern
from pipeline.model.tombstone import NETWORK, ORIGIN, Tombstone
from pipeline.night import standing
from pipeline.night.opt_outs import Refused, add_opt_outs, admitted, leave_closed, opt_outs
from pipeline.night.plan import write_plan
from pipeline.night.standing import StateChange, StillOptedOut, keep_out, opt_out, pause, resume
from pipeline.storage.interface import Storage
from pipeline.tables.iceberg import IcebergTable, full_name, in_buckets
from pipeline.tables.tombstones import add_tombstones
from pipeline.tables.writer import unleased
from tests.tables.conftest import ADDED, add, night
from tests.tables.landing import BUCKETS
from tests.tables.test_interleaved import before_commit

HOST = "https://example.org"
URLS = [f"{HOST}/{path}" for path in ("foo", "foobar", "owner/a", "owner/b.git", "owners/c")]


def states(spark: SparkSession) -> dict[str, str]:
    IcebergTable(spark, "origins")
    rows = spark.table(full_name("origins")).select("url", "state").collect()
    return {row["url"]: row["state"] for row in rows}


def run(change: object, spark: SparkSession, *patterns: str) -> StateChange:
    assert callable(change)
    found = change(spark, [parse_pattern(pattern) for pattern in patterns])
    assert isinstance(found, StateChange)
    return found


@pytest.mark.slow
def test_states_are_set_for_what_is_named_and_nothing_beside_it(spark: SparkSession, storage: Storage) -> None:
    add(spark, *URLS, "git://example.org/foo.git")
    paused = run(pause, spark, f"{HOST}/foo", f"{HOST}/owner/*", f"{HOST}/unknown")
    assert (paused.changed, paused.already, paused.unknown) == (3, 0, (f"{HOST}/unknown",))
    assert {url for url, state in states(spark).items() if state == "paused"} == {URLS[0], URLS[2], URLS[3]}
    again = run(pause, spark, f"{HOST}/foo", f"{HOST}/owner/*", f"{HOST}/owner/a")
    assert (again.changed, again.already) == (0, 3)

    out = run(opt_out, spark, f"{HOST}/foo", f"{HOST}/owner/a")
    assert (out.changed, out.rules) == (3, 2), "the other scheme's URL names the same repository"
    assert run(pause, spark, f"{HOST}/foo").changed == 0, "an opt-out is not weakened"
    assert states(spark)["git://example.org/foo.git"] == "opted_out"

    plan = write_plan(unleased(spark), storage, Load.of_night(night(2)), BUCKETS)
    assert plan.origins_due == 2  # foobar and owners/c

    back = run(resume, spark, f"{HOST}/foo", f"{HOST}/owner/b.git")
    assert (back.changed, back.rules) == (3, 1)
    due = spark.table(full_name("origins")).where("state = 'active' AND next_due IS NULL").select("url").collect()
    assert {row["url"] for row in due} == {URLS[0], "git://example.org/foo.git", URLS[1], URLS[3], URLS[4]}


def test_an_opt_out_of_what_is_not_there_yet_holds_later(spark: SparkSession) -> None:
    add(spark, *URLS)
    out = run(opt_out, spark, f"{HOST}/later", "https://other.example/*")
    assert (out.changed, out.unknown, out.rules) == (0, (f"{HOST}/later", "https://other.example/*"), 2)
    assert run(opt_out, spark, f"{HOST}/later").rules == 0
    wanted = [Origin(url) for url in (f"{HOST}/later.git", f"{HOST}/later2", "git://other.example/x")]
    may, may_not = admitted(spark, wanted)
    assert [origin.url for origin in may] == [f"{HOST}/later2"]
    falls = "it falls under the opt-out"
    assert [refused.why for refused in may_not] == [f"{falls} {HOST}/later", f"{falls} https://other.example/*"]
    with pytest.raises(StillOptedOut, match="falls under the opt-out"):
        run(resume, spark, "https://other.example/x")
    assert run(resume, spark, "http://other.example/*").rules == 1
    assert opt_outs(spark).rule_for("git://other.example/x") is None


def test_what_was_added_while_it_was_opted_out_is_kept_out(spark: SparkSession) -> None:
    """Also by a later run, as the one that added it may have been killed; a refused network says nothing of a URL."""
    add(spark, *URLS)
    add_opt_outs(spark, [parse_pattern(f"{HOST}/foo")])  # and killed here
    _, may_not = admitted(spark, map(Origin, URLS))
    assert [refused.url for refused in may_not] == [f"{HOST}/foo"]
    keep_out(spark, [*may_not, Refused(f"{HOST}/owners/c", "its network was taken down", in_any_network=False)])
    assert {url for url, state in states(spark).items() if state != "active"} == {f"{HOST}/foo"}


def test_what_was_added_to_a_network_while_it_was_taken_down_is_removed(spark: SparkSession) -> None:
    """Unless it was visited: then it has rows there, which nobody asked to remove."""
    root, fork, visited, other = add(
        spark, f"{HOST}/root", (f"{HOST}/fork", f"{HOST}/root"), (f"{HOST}/visited", f"{HOST}/root"), f"{HOST}/other"
    )
    spark.sql(f"UPDATE {full_name('origins')} SET last_visit = added_at WHERE url = '{visited.url}'")
    base = Tombstone("t", NETWORK, ADDED, bucket=bucket_of(root.network, BUCKETS), network=root.network)
    add_tombstones(spark, [base, replace(base, kind=ORIGIN, url=root.url)])
    keep_out(spark, admitted(spark, [fork, other])[1])
    assert states(spark).keys() == {root.url, visited.url, other.url}
    assert leave_closed(spark) == 0


def test_a_change_is_made_again_when_another_writer_was_faster(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night's commit of ``origins`` between our read and our write is not lost, and does not override ours."""
    add(spark, *URLS)
    turn = count()
    write = standing._write

    def interrupted(*arguments: object) -> None:
        if next(turn) == 0:
            visited = spark.table(full_name("origins")).collect()
            bucket = next(row["bucket"] for row in visited if row["url"] == URLS[0])
            rows = [
                Row(**{**row.asDict(), "last_visit": datetime(2026, 11, 2, tzinfo=UTC)})
                for row in visited
                if row["bucket"] == bucket
            ]
            frame = spark.createDataFrame(rows, spark.table(full_name("origins")).schema)
            frame.writeTo(full_name("origins")).overwrite(in_buckets([bucket]))
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(standing, "_write", interrupted)
    assert run(opt_out, spark, URLS[0]).changed == 1
    (row,) = spark.table(full_name("origins")).where(f"url = '{URLS[0]}'").collect()
    assert (row["state"], row["last_visit"] is None, next(turn)) == ("opted_out", False, 2)


@pytest.mark.slow
@pytest.mark.parametrize("commit", [0, 1])
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_of_opt_out_and_resume_at_once_the_last_one_holds(spark: SparkSession, *, known: bool, commit: int) -> None:
    """Rule and states agree, even if the rule exists already, so that no commit of it conflicts."""
    url = URLS[0]
    for outer, inner, out in ((opt_out, resume, True), (resume, opt_out, False)):
        if known:
            run(opt_out, spark, url)
        else:
            run(resume, spark, url)
        add(spark, *URLS)
        if known and outer is opt_out:
            set_active(spark)
        with before_commit(commit, lambda: run(inner, spark, url)):  # noqa: B023 - called within
            run(outer, spark, url)
        assert (opt_outs(spark).rule_for(url) is not None, states(spark)[url] == "opted_out") == (out, out)


def set_active(spark: SparkSession) -> None:
    spark.sql(f"UPDATE {full_name('origins')} SET state = 'active'")


@pytest.mark.slow
def test_what_falls_under_a_narrower_opt_out_is_not_resumed(spark: SparkSession) -> None:
    add(spark, *URLS)
    run(opt_out, spark, f"{HOST}/*")
    run(opt_out, spark, f"{HOST}/owner/*")
    assert run(resume, spark, f"{HOST}/*").changed == 3
    assert {url for url, state in states(spark).items() if state == "opted_out"} == {URLS[2], URLS[3]}
    assert run(resume, spark, f"{HOST}/owner/*").changed == 2
