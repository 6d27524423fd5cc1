"""Refs that a server shows are archived as ``git clone --mirror`` takes them; refs that it ignores are reported."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.fetch.archive import Archive, Serve
from tests.fetch.handmade import handmade
from tests.git.packs import pack_objects
from tests.support.repos import build_graph, git, resolve, run_git, set_refs

LONG = "refs/heads/" + "long/" * 1000 + "name"
KEPT = ("refs/heads/-x", "refs/heads/A", "refs/heads/a", "refs/heads/HEAD", LONG, "refs/tags/\udcff\u65e5")
FUNNY = (
    "refs/heads/a..b",
    "refs/heads/../../../x",
    "refs/heads/b/",
    "refs/heads/c.lock",
    "refs/heads/@{d",
    "refs/heads/\x01",
    "refs/heads/.e",
)


def test_refs_are_those_that_git_clones(root: Path, tmp_path: Path) -> None:
    repo = root / "repo.git"
    build_graph(repo, [[1], [2, 1]])
    tip = resolve(repo, "main")
    pack = pack_objects(repo, "--revs", stdin=b"main\n")
    refs = {"HEAD symref-target:refs/heads/a": tip} | dict.fromkeys(FUNNY, "5" * 40) | dict.fromkeys(KEPT, tip)
    archive = Archive(tmp_path)
    with handmade(refs, [pack] * 3) as (server, asked):
        night = archive.fetch(url := server.url())
        again = archive.fetch(url)
        assert run_git("clone", "-q", "--mirror", url, tmp_path / "clone.git").returncode == 0
    wants = [{line for line in lines if line.startswith(b"want ")} for lines in asked.fetches()]
    assert wants[0] == wants[1] == {b"want " + tip.encode()}
    archived = {name: row["target"].hex().encode() for name, row in night.refs(url).items()}
    assert archived.pop(b"HEAD") == tip.encode()
    cloned = git(tmp_path / "clone.git", "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    assert archived == dict(line.split(b" ") for line in cloned)
    for visit, status in ((night.visit(url), "full"), (again.visit(url), "unchanged")):
        assert (visit["status"], visit["error"]) == (status, "refs_left_out")
        assert visit["detail"] == (
            "7 refs have names that git refuses, left out: refs/heads/\\x01, refs/heads/../../../x, refs/heads/.e, ..."
        )


def test_symbolic_refs_are_archived_as_such(serve: Serve, root: Path, tmp_path: Path) -> None:
    repo = root / "repo.git"
    build_graph(repo, [[1], [2, 1]])
    set_refs(repo, {b"refs/custom/x": resolve(repo, "main^")})
    git(repo, "symbolic-ref", "HEAD", "refs/custom/x")
    git(repo, "symbolic-ref", "refs/heads/trunk", "refs/heads/main")
    git(repo, "symbolic-ref", "refs/heads/of-trunk", "refs/heads/trunk")
    with serve(root) as server:
        night = Archive(tmp_path).fetch(url := server.url())
    found = {name: (row["target"].hex(), row["symref"]) for name, row in night.refs(url).items()}
    old, tip = resolve(repo, "main^"), resolve(repo, "main")
    assert found == {
        b"HEAD": (old, "refs/custom/x"),
        b"refs/heads/main": (tip, None),
        b"refs/heads/trunk": (tip, "refs/heads/main"),
        b"refs/heads/of-trunk": (tip, "refs/heads/main"),
    }


def test_head_on_a_funny_name_is_detached(root: Path, tmp_path: Path) -> None:
    repo = root / "repo.git"
    build_graph(repo, [[1], [2, 1]])
    old, tip = resolve(repo, "main^"), resolve(repo, "main")
    pack = pack_objects(repo, "--revs", stdin=b"main\n")
    with handmade({"HEAD symref-target:refs/heads/a..b": tip, "refs/heads/main": old}, [pack]) as (server, _):
        night = Archive(tmp_path).fetch(url := server.url())
    head = night.refs(url)[b"HEAD"]
    assert (head["target"].hex(), head["symref"], head["symref_raw"]) == (tip, None, None)
    assert night.visit(url)["detail"] == "1 ref has a name that git refuses, left out: refs/heads/a..b"


def test_directory_and_file_of_one_name_and_very_many_refs(root: Path, tmp_path: Path) -> None:
    repo = root / "repo.git"
    build_graph(repo, [[1]])
    tip = resolve(repo, "main")
    names = ["refs/heads/a", "refs/heads/a/b", *(f"refs/tags/{n}" for n in range(100_000))]
    set_refs(repo, {b"refs/heads/main": tip})
    (repo / "packed-refs").write_text("".join(f"{tip} {name}\n" for name in sorted(names)))
    pack = pack_objects(repo, "--revs", stdin=b"main\n")
    with handmade(dict.fromkeys(names, tip), [pack]) as (server, _):
        night = Archive(tmp_path).fetch(url := server.url())
    assert set(night.refs(url)) == {name.encode() for name in names}
    assert (night.visit(url)["status"], night.visit(url)["error"]) == ("full", None)


def test_a_server_cannot_fill_the_log(root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    repo = root / "repo.git"
    build_graph(repo, [[1]])
    tip = resolve(repo, "main")
    library = logging.getLogger("dulwich")
    with open(2, "w", closefd=False) as stderr:
        library.addHandler(handler := logging.StreamHandler(stderr))
        try:
            refs = {f"refs/heads/main {'x ' * 100}": tip}
            with handmade(refs, [pack_objects(repo, "--revs", stdin=b"main\n")]) as (server, _):
                night = Archive(tmp_path).fetch(url := server.url())
        finally:
            library.removeHandler(handler)
    assert list(night.refs(url)) == [b"refs/heads/main"]
    assert "unknown part" not in capfd.readouterr().err
