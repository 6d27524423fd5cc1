"""`pipeline forges crawl` reads hours of events; what they name waits for a visit, which says whether it was right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.model.tables import ORIGINS
from pipeline.tables.iceberg import full_name
from tests.e2e.archive import Archive, Place
from tests.support.forges import response
from tests.support.hours import event, packed, serving_hours, url_name
from tests.support.repos import add_commits, build_graph
from tests.support.servers import http_backend


@pytest.mark.slow
@pytest.mark.usefixtures("one_spark")
def test_what_events_name_waits_for_a_visit(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    known = {url_name(now - timedelta(hours=back)): now - timedelta(hours=back) for back in range(5)}

    with serving_hours() as served:

        def publish(number: int, path: str) -> bytes | None:
            name = "o/pushed" if path in known else "o/unknown"
            at = known.get(path, now - timedelta(hours=9))
            return response(packed([event(1, name, at), event(2, "o/new", at)]), kind="application/gzip")

        served.trouble = publish
        table = {"kind": "events", "url": served.url, "clones": served.url, "hours": 3}
        archive = Archive.at(Place("local", str(tmp_path)), tmp_path / "c", "archive", forges__f=table)
        archive.init()
        archive.add(f"{served.url}/o/pushed", f"{served.url}/o/quiet")
        visit = (now - timedelta(hours=6)).isoformat()
        origins = full_name(ORIGINS.name)
        archive.spark.sql(f"UPDATE {origins} SET last_visit = timestamp '{visit}'")
        (found,) = archive.ask("forges", "crawl", "f")
        assert (found["over"], found["pages"], found["skipped"], found["stopped"]) == (True, 3, 0, None)
        assert found["merged"] == {"signalled": 1}
        assert len(served.requests) == 3
        (again,) = archive.ask("forges", "crawl", "f")
        assert (again["number"], again["merged"]) == (2, {})
        rows = {row["url"]: row["signalled_at"] for row in archive.spark.table(origins).collect()}
    assert {url.rpartition("/")[2]: told is not None for url, told in rows.items()} == {"pushed": True, "quiet": False}
    assert sorted((tmp_path / "archive" / "forges").rglob("*.parquet")) == [], "merged pages are deleted"


@pytest.mark.slow
@pytest.mark.usefixtures("one_spark")
def test_visits_say_how_right_events_were(tmp_path: Path) -> None:
    """One of three repositories is pushed to and named, one is pushed to only, one is named only."""
    now = datetime.now(UTC)
    names = ("named.git", "silent.git", "quiet.git")
    for name in names:
        build_graph(tmp_path / "served" / name, [[1]])
    with http_backend(tmp_path / "served") as web, serving_hours() as served:
        urls = {name: web.url(name) for name in names}
        clones = urls[names[0]].removesuffix("/named.git")
        hour = now - timedelta(hours=1)
        served.put(hour, *(event(1, name.removesuffix(".git"), hour) for name in ("named.git", "quiet.git")))
        table = {"kind": "events", "url": served.url, "clones": clones, "hours": 2}
        archive = Archive.at(Place("local", str(tmp_path)), tmp_path / "c", "archive", forges__f=table)
        archive.init()
        archive.add(*urls.values())
        archive.ask("nightly", "--night", str(now.date() - timedelta(days=1)))
        assert archive.status()["signals"] == {}, "first visits say nothing"
        before = (now - timedelta(hours=6)).isoformat()
        archive.spark.sql(f"UPDATE {full_name(ORIGINS.name)} SET last_visit = timestamp '{before}'")
        for name in names[:2]:
            add_commits(tmp_path / "served" / name, 1)
        assert archive.ask("forges", "crawl", "f")[0]["merged"] == {"signalled": 2}
        found = {row["url"]: row["signals"] for row in archive.ask("origins", "list")}
        assert found == {urls["named.git"]: ["event"], urls["silent.git"]: None, urls["quiet.git"]: ["event"]}
        archive.ask("nightly", "--night", str(now.date()))
    counts = {"right": 1, "wrong": 1, "changes": 2, "told": 1}
    assert archive.status()["signals"] == {"event": counts}
    said = archive.run("forges", "status").stdout
    assert ["event", "2", "1", "50.0%", "2", "1", "50.0%"] in [line.split() for line in said.splitlines()]
    assert 'signalled_visits{kind="event",signal="wrong"} 1.0' in archive.run("metrics").stdout
