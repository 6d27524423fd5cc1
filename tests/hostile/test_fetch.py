"""Each hostile origin is one visit that ends as its spec says; archived objects are exact, and nothing is left over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fetch.archive import Archive, Night
from tests.hostile.all import REPOSITORIES, SERVERS
from tests.hostile.spec import Made, Refs, Repository
from tests.hostile.willing import willing

WANTED = (b"refs/heads/", b"refs/tags/")


def test_there_are_enough() -> None:
    assert len(REPOSITORIES) + len(SERVERS) >= 60


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", REPOSITORIES)
def test_a_hostile_repository(name: str, tmp_path: Path) -> None:
    spec = REPOSITORIES[name]
    made = Made()
    refs = spec.make(made)
    archive = Archive(tmp_path, limits=spec.limits, run_bytes=16 << 20)
    with willing(made, refs) as server:
        night = archive.fetch(server.url())
        check_ending(night, server.url(), spec.outcomes)
        if not night.line(server.url()).status.ok:
            check_nothing_landed(night, server.url())
        else:
            check_exact(night, server.url(), made, refs, spec)
            again = archive.fetch(server.url())
            assert again.visit(server.url())["status"] == "unchanged"
    assert archive.left_in_scratch() == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", SERVERS)
def test_a_hostile_server(name: str, tmp_path: Path) -> None:
    spec = SERVERS[name]
    archive = Archive(tmp_path, limits=spec.limits)
    with spec.serve() as server:
        night = archive.fetch(server.url())
    check_ending(night, server.url(), spec.outcomes)
    if not night.line(server.url()).status.ok:
        check_nothing_landed(night, server.url())
    assert archive.left_in_scratch() == []


def check_ending(night: Night, url: str, outcomes: tuple[tuple[str, str | None], ...]) -> None:
    visit = night.visit(url)
    assert (visit["status"], visit["error"]) in outcomes, visit["detail"]
    detail = visit["detail"] or ""
    assert detail.isprintable(), repr(detail[:300])
    assert len(detail) < 400
    assert "Traceback" not in detail


def check_nothing_landed(night: Night, url: str) -> None:
    assert night.new_ids() == []
    assert night.refs(url) == {}


def check_exact(night: Night, url: str, made: Made, refs: Refs, spec: Repository) -> None:
    """Compare objects by their bytes, those over the limit by their ids, and kept refs by their targets."""
    limit = spec.limits.blob_bytes
    stored = {o: data for o, (kind, data) in made.objects.items() if kind != "blob" or len(data) <= limit}
    assert {oid: body for oid, (_, body) in night.objects().items()} == stored
    assert set(night.new_ids()) == set(made.objects)
    if made.lines is not None:
        return
    shown = {name: oid for name, oid in refs.items() if name == b"HEAD" or name.startswith(WANTED)}
    kept = {name: None if row["target"] is None else row["target"].hex() for name, row in night.refs(url).items()}
    assert kept == {name: oid for name, oid in shown.items() if name not in spec.left_out}
