"""`pipeline forges crawl` reads hours of events, and what they name waits for a visit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.model.tables import ORIGINS
from pipeline.tables.iceberg import full_name
from tests.e2e.archive import Archive, Place
from tests.support.forges import response
from tests.support.hours import event, packed, serving_hours, url_name


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
