"""A forge is listed, and what may be archived of it becomes origins, in the networks of their roots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import functions as F

from pipeline.model.origin import network_id
from pipeline.night.listings import network_column
from pipeline.rules import networks
from tests.e2e.archive import Archive, Place
from tests.support.forges import Forge, serving


def origins(archive: Archive) -> dict[str, tuple[str | None, str, int]]:
    rows = archive.spark.table("archive.code.origins").collect()
    assert all(row["bucket"] == row["network"] % 4 for row in rows)
    return {row["url"]: (row["fork_of"], row["state"], row["network"]) for row in rows}


def crawled(archive: Archive, *options: str, code: int = 0) -> dict[str, Any]:
    (found,) = archive.ask("forges", "crawl", "f", *options, code=code)
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("one_spark")
def test_listings_become_origins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One archive, from its first pass to the third: forks, filters, an opt-out, a move, a deletion."""
    monkeypatch.setattr("pipeline.night.listings.NETWORK_ORIGINS", 3)
    monkeypatch.setattr(networks, "NETWORK_ORIGINS", 3)
    forge = Forge()
    root = forge.create("a/root")
    fork = forge.create("b/fork", parent=root.id)
    for number in range(3):
        forge.create(f"c/deep{number}", parent=fork.id)
    forge.create("d/empty", empty=True)
    forge.create("e/old", archived=True)
    out = forge.create("out/one")
    forge.create("known/one")
    with serving(forge) as served:
        table = {"kind": "gitea", "url": served.url, "archived": False}
        archive = Archive.at(Place("local", str(tmp_path)), tmp_path / "c", "archive", forges__f=table)
        archive.init()
        url = {repo.name: forge.url(repo) for repo in forge.shown()}
        archive.add(url["known/one"].removesuffix(".git"))
        archive.run("origins", "opt-out", f"{served.url}/out/*")
        first = crawled(archive)
        assert first["merged"] == {"archived": 1, "empty": 1, "new": 9, "opted_out": 1, "origins": 5}
        assert (first["full"], first["over"], first["listed"], first["stopped"]) == (True, True, 9, None)
        found = origins(archive)
        roots = url["a/root"]
        assert found[roots] == (None, "active", network_id(roots))
        forks = [url["b/fork"], *(url[f"c/deep{number}"] for number in range(3))]
        assert {name: found[name][0] for name in forks} == dict.fromkeys(forks, roots), "forks of forks, too"
        assert sorted(found[name][2] for name in forks) == sorted(network_id(roots, part) for part in (0, 0, 1, 1))
        assert len(found) == 6, "known/one is known without .git"

        forge.change(root.id, name="moved/root")
        forge.change(out.id, name="free/one")
        forge.change(next(repo.id for repo in forge.shown() if repo.empty), empty=False)
        forge.delete(fork.id)
        assert crawled(archive, "--full")["merged"] == {"archived": 1, "moved": 2, "opted_out": 1, "origins": 2}
        found = origins(archive)
        assert forge.url(forge.repos[out.id]) not in found, "an opt-out holds under another name"
        assert found[forge.url(forge.repos[root.id])][0] == roots, "the new URL is in the network of the old one"
        assert url["d/empty"] in found

        assert crawled(archive, "--full")["merged"] == {"archived": 1, "gone": 1, "opted_out": 1}, (
            "the second without it"
        )
        listings = {row["forge_id"]: row for row in archive.spark.table("archive.code.listings").collect()}
        assert [number for number, row in listings.items() if row["gone_at"] is not None] == [str(fork.id)]
        assert listings[str(root.id)]["moved_from"] == roots
        assert listings[str(root.id)]["license"] == "MIT"
        assert sorted((tmp_path / "archive" / "forges").rglob("*.parquet")) == [], "merged pages are deleted"

        served.trouble = lambda number, path: b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
        stopped = crawled(archive, code=1)
        assert stopped["failed"]
        assert "f: page 1 of 50 repositories each could not be listed (login_required)" in stopped["stopped"]
        assert crawled(archive, "--anew", code=1)["number"] == stopped["number"] + 1
    assert archive.ask("forges", "list") == [{"forge": "f", "kind": "gitea", "url": served.url}]
    assert [each["number"] for each in archive.ask("forges", "status", "f")] == [5, 4, 3, 2]
    assert [each["given_up"] for each in archive.ask("forges", "status", "f")] == [False, True, False, False]
    assert "needs the names" in archive.run("forges", "crawl", "--anew", code=2).stderr
    assert "under way" in archive.run("forges", "status").stdout
    assert "there are f" in archive.run("forges", "crawl", "g", code=2).stderr

    urls = [(f"https://example.org/{name}", part) for name in ("a", "ü", "x" * 60) for part in (0, 1, 17)]
    frame = archive.spark.createDataFrame(urls, "url string, part bigint")
    computed = frame.select("url", "part", network_column(F.col("url"), F.col("part")).alias("network")).collect()
    assert {(row["url"], row["part"]): row["network"] for row in computed} == {
        (name, part): network_id(name, part) for name, part in urls
    }
