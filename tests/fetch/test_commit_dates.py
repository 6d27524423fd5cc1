"""What a visit says about the dates of the commits that it brought."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.fetch.archive import Archive, Night, Serve
from tests.support.git import init, put_commit, put_tree
from tests.support.repos import fork_of, set_refs


def commits(repo: Path, *times: object, parent: str | None = None) -> str:
    """A chain of commits with these committer times, as written; authors are of 2001."""
    tip, tree = parent, put_tree(repo)
    for number, time in enumerate(times):
        who, message = f"C <c@d> {time}".encode(), f"{number} {time}\n".encode()
        parents = () if tip is None else (tip,)
        tip = put_commit(
            repo, tree, *parents, author=b"A <a@b> 1000000000 +0000", committer=who.rstrip(), message=message
        )
    assert tip is not None
    set_refs(repo, {b"refs/heads/main": tip})
    return tip


def seconds(when: datetime) -> int:
    return int(when.timestamp())


def dates(night: Night, url: str) -> tuple[datetime | None, int]:
    row, line = night.visit(url), night.line(url)
    assert (row["newest_commit"], row["commit_days"]) == (line.newest_commit, line.commit_days)
    return row["newest_commit"], row["commit_days"]


def test_a_visit_says_of_when_its_commits_are(serve: Serve, root: Path, tmp_path: Path) -> None:
    repo, newest = init(root / "repo.git"), datetime(2025, 3, 4, 22, 30, tzinfo=UTC)
    earlier = seconds(newest) - 86_400
    tip = commits(repo, f"{earlier} +0000", f"{seconds(newest)} +0200", f"{earlier + 60} -0500")
    archive = Archive(tmp_path)
    with serve(root) as server:
        url = server.url()
        assert dates(archive.fetch(url), url) == (newest, 2)
        assert dates(archive.fetch(url), url) == (None, 0)
        commits(repo, f"{earlier - 86_400 * 30} +0000", parent=tip)
        assert dates(archive.fetch(url), url) == (newest - timedelta(days=31), 1), "only what it brought"


def test_a_fork_without_commits_of_its_own_has_no_date(serve: Serve, root: Path, tmp_path: Path) -> None:
    repo = init(root / "repo.git")
    commits(repo, "1700000000 +0000")
    fork = fork_of(repo, root / "fork.git", commits=0)
    own = fork_of(repo, root / "own.git", commits=0)
    commits(own, "1710000000 +0000", parent=commits(fork, "1700000000 +0000"))
    archive = Archive(tmp_path)
    with serve(root) as server:
        url, fork_url, own_url = server.url(), server.url("fork.git"), server.url("own.git")
        assert dates(archive.fetch(url), url) == (datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), 1)
        night = archive.fetch(url, (fork_url, url), (own_url, url), due=[fork_url, own_url])
    assert night.visit(fork_url)["status"] == "full"
    assert dates(night, fork_url) == (None, 0)
    assert dates(night, own_url) == (datetime(2024, 3, 9, 16, tzinfo=UTC), 1)


HOSTILE = (
    "-1 +0000",
    "-62135596800 +0000",
    "253402300799 +0000",
    "253402300800 +0000",
    "99999999999999999999999 +0000",
    "18446744073709551615 +0000",
    "soon",
    "",
    f"{seconds(datetime.now(UTC)) + 86_400 * 3} +0000",
)


@pytest.mark.parametrize("honest", [(), ("0 +0000", "1700000000 +9999")], ids=["alone", "among others"])
def test_invented_dates_do_not_count(honest: tuple[str, ...], serve: Serve, root: Path, tmp_path: Path) -> None:
    repo = init(root / "repo.git")
    commits(repo, *HOSTILE, *honest, *HOSTILE[:3])
    archive = Archive(tmp_path)
    with serve(root) as server:
        night = archive.fetch(url := server.url())
    assert night.visit(url)["status"] == "full"
    assert len(night.rows("commits")) == len(HOSTILE) + len(honest) + 3
    newest = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC) if honest else None
    assert dates(night, url) == (newest, len(honest))
