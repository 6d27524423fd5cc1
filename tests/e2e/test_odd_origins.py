"""One night over origins that are odd in every way that owners can think of: each comes back as git shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.archive import Archive
from tests.e2e.conftest import MakeArchive
from tests.fetch.handmade import handmade
from tests.git.packs import pack_objects
from tests.support.compare import ls_remote
from tests.support.git import git, init, put, put_commit, put_tag, put_tree, resolve, run_git, set_refs
from tests.support.repos import build_graph, detached_head
from tests.support.servers import Peer

pytestmark = pytest.mark.parametrize("place", ["local"], indirect=True, scope="module")

LARGE = b"x" * 5000
LIMIT_BYTES = 4000
TWO = [[1], [2, 1], [3, 1]]
PEOPLE = b"author A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n"


@dataclass(frozen=True)
class Odd:
    """An origin: the repository that ``build`` makes, and its expected outcome.

    Attributes:
        status: status of the visit, with its error code.
        code: exit code of restore.
        absent: bytes in lines of ``git ls-remote`` that the origin shows and the restored repository cannot.
        served_by_hand: names of refs by revision, for our own server if git's would not serve it; the pack has every
            object.
    """

    build: Callable[[Path], None]
    status: tuple[str, str | None] = ("full", None)
    code: int = 0
    absent: tuple[bytes, ...] = ()
    served_by_hand: dict[str, str] = field(default_factory=dict)


def utf7(repo: Path) -> None:
    put_main(repo, b"encoding UTF-7\n", b"+2AA- +3AA- \xff\n")


def put_main(repo: Path, headers: bytes = b"", message: bytes = b"m\n") -> None:
    tree = put_tree(init(repo), ("100644", "a", put(repo, "blob", b"a\n")))
    set_refs(repo, {b"refs/heads/main": put_commit(repo, tree, headers=headers, message=message)})


def many_headers(repo: Path) -> None:
    put_main(repo, b"x\n" * (4 << 20))


def two_readings(repo: Path) -> None:
    tree = put_tree(init(repo), ("100644", "a", put(repo, "blob", b"a\n")))
    raw = f"tree {tree}\nparent zz\nparent {'1' * 40}\n".encode() + PEOPLE + b"\nm\n"
    (repo / "refs/heads/main").write_text(put(repo, "commit", raw) + "\n")


def head_elsewhere(repo: Path) -> None:
    build_graph(repo, TWO)
    set_refs(repo, {b"refs/custom/x": resolve(repo, "tip-2")})
    git(repo, "update-ref", "-d", "refs/heads/tip-2")
    git(repo, "symbolic-ref", "HEAD", "refs/custom/x")


def links(repo: Path) -> None:
    build_graph(repo, TWO)
    set_refs(repo, {b"refs/custom/x": resolve(repo, "tip-2"), b"refs/heads/d\xff": resolve(repo, "main")})
    git(repo, "update-ref", "-d", "refs/heads/tip-2")
    git(repo, "symbolic-ref", "refs/heads/trunk", "refs/heads/main")
    git(repo, "symbolic-ref", "refs/heads/of-trunk", "refs/heads/trunk")
    git(repo, "symbolic-ref", b"refs/tags/\xfe", b"refs/heads/d\xff")
    git(repo, "symbolic-ref", "refs/tags/elsewhere", "refs/custom/x")
    git(repo, "symbolic-ref", "refs/tags/gone", "refs/heads/gone")


def links_to_head(repo: Path) -> None:
    build_graph(repo, TWO)
    git(repo, "symbolic-ref", "refs/heads/head", "HEAD")
    detached_head(repo, "tip-2")


def modes(repo: Path) -> None:
    blob = put(init(repo), "blob", b"below a long mode\n")
    root = put_tree(repo, ("100644", "f", blob))
    for number, mode in enumerate(["00000040000", "40000040000", "777700000040000", "1" + "0" * 300 + "40000"]):
        inner = put_tree(repo, ("100644", "f", blob), ("0" * 50 + "100644", "g", put(repo, "blob", b"%d" % number)))
        root = put_tree(repo, (mode, "down", root), ("100000000000", "module", "5" * 40), (mode, "more", inner))
    set_refs(repo, {b"refs/heads/main": put_commit(repo, root)})


def names(repo: Path) -> None:
    build_graph(repo, TWO)
    tips = [git(repo, "rev-parse", name).strip() for name in ("main", "tip-2")]
    listed = [b"a", b"a/b", b"A", b"-x", b"HEAD", b"main", b"x" * 300, b"deep/" * 900 + b"name", "\u212b".encode()]
    listed += [b"%d" % number for number in range(500)]
    lines = sorted(b"refs/heads/%s" % name for name in listed)
    (repo / "packed-refs").write_bytes(b"".join(b"%s %s\n" % (tips[n % 2], name) for n, name in enumerate(lines)))
    for loose in ("main", "tip-2"):
        (repo / "refs" / "heads" / loose).unlink(missing_ok=True)


def funny(repo: Path) -> None:
    build_graph(repo, TWO)


def refs_on_large_blobs(repo: Path) -> None:
    build_graph(repo, TWO)
    blob = put(repo, "blob", LARGE)
    tag = put_tag(repo, put_tag(repo, blob, "blob", "inner"), "tag", "outer")
    refs = {b"refs/tags/blob": blob, b"refs/tags/tag": tag, b"refs/tags/small": put(repo, "blob", b"small")}
    set_refs(repo, refs)


def head_on_a_large_blob(repo: Path) -> None:
    build_graph(repo, TWO)
    (repo / "HEAD").write_text(put(repo, "blob", LARGE) + "\n")


ODD = {
    "utf7": Odd(utf7),
    "many-headers": Odd(many_headers),
    "two-readings": Odd(two_readings, served_by_hand={"HEAD symref-target:refs/heads/main": "main"}),
    "head-elsewhere": Odd(head_elsewhere),
    "links": Odd(links),
    "links-to-head": Odd(links_to_head),
    "modes": Odd(modes),
    "names": Odd(names),
    "funny": Odd(
        funny,
        ("full", "refs_left_out"),
        served_by_hand={
            "HEAD symref-target:refs/heads/a..b": "main",
            "refs/heads/main": "main",
            "refs/heads/tip-2": "tip-2",
            "refs/heads/../../../evil": "main",
            "refs/heads/\x07": "main",
            "refs/tags/x.lock": "5" * 40,
        },
    ),
    "refs-on-large-blobs": Odd(refs_on_large_blobs, ("partial", "too_large"), 1, (b"refs/tags/blob",)),
    "head-on-a-large-blob": Odd(head_on_a_large_blob, ("partial", "too_large"), 1, (b"HEAD",)),
}


@dataclass(frozen=True)
class Visited:
    """An archive after one night, and the URL of each origin."""

    archive: Archive
    served: Path
    urls: dict[str, str]


@pytest.fixture(scope="module")
def visited(make_archive: MakeArchive, served: Path, daemon: Peer) -> Iterator[Visited]:
    archive = make_archive("odd", fetch__limits={"blob_bytes": LIMIT_BYTES})
    urls = {}
    with ExitStack() as servers:
        for name, odd in ODD.items():
            odd.build(served / f"{name}.git")
            urls[name] = daemon.url(f"{name}.git")
            if odd.served_by_hand:
                repo = served / f"{name}.git"
                refs = {ref: at if len(at) == 40 else resolve(repo, at) for ref, at in odd.served_by_hand.items()}
                ids = git(repo, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
                server, _ = servers.enter_context(handmade(refs, [pack_objects(repo, stdin=ids)]))
                urls[name] = server.url(f"{name}.git")
        archive.add(*urls.values())
        summary = archive.nightly(1)
        assert sum(summary["origins"].values()) == len(ODD)
        assert {found["error"] for found in summary["failed"]} == {"too_large"}
        yield Visited(archive, served, urls)


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_an_odd_origin_comes_back_as_git_shows_it(name: str, visited: Visited, tmp_path: Path) -> None:
    odd, url, repo = ODD[name], visited.urls[name], visited.served / f"{name}.git"
    visit = visited.archive.visit(url, 1)
    assert (visit["status"], visit["error"]) == odd.status, visit["detail"]
    restored = visited.archive.restore(url, tmp_path / "restored.git", code=odd.code)
    shown = [line for line in ls_remote(repo) if not line.endswith(odd.absent or (b"\n",))]
    assert ls_remote(restored) == shown if name != "funny" else [line for line in shown if b"ref: " not in line]
    tips = {line.split(b"\t")[0] for line in ls_remote(restored) if not line.startswith(b"ref: ")}
    assert content(restored, tips) == content(repo, tips)


def content(repo: Path, tips: set[bytes]) -> list[bytes]:
    """Kind and size of everything reachable from the tips, except objects that the archive leaves out by rule."""
    options = ("rev-list", "--objects", "--no-object-names", "--missing=print", "--stdin")
    listed = run_git("-C", repo, *options, stdin=b"".join(tip + b"\n" for tip in tips))
    if listed.returncode:
        ids = git(repo, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    else:
        ids = b"".join(line.lstrip(b"?") + b"\n" for line in listed.stdout.splitlines())
    checked = git(repo, "cat-file", "--batch-check", stdin=ids).splitlines()
    return sorted(line for line in checked if not line.endswith((b" missing", b" %d" % len(LARGE))))


@pytest.mark.slow
def test_what_cannot_come_back_is_told(visited: Visited, tmp_path: Path) -> None:
    detail = visited.archive.visit(visited.urls["funny"], 1)["detail"]
    assert detail == (
        "4 refs have names that git refuses, left out: refs/heads/\\x07, refs/heads/../../../evil, refs/heads/a..b, ..."
    )
    for name, lacking in (("refs-on-large-blobs", 1), ("head-on-a-large-blob", 1)):
        found = visited.archive.ask("restore", visited.urls[name], tmp_path / name, code=1)
        assert (found["not_stored"], found["refs_not_stored"]) == (1, lacking)
    assert not run_git("-C", tmp_path / "head-on-a-large-blob", "symbolic-ref", "HEAD").returncode


@pytest.mark.slow
def test_columns_are_text_for_people(visited: Visited) -> None:
    (row,) = visited.archive.sql(
        "SELECT message, encoding, raw IS NOT NULL AS has_raw FROM commits WHERE encoding = 'UTF-7'"
    )
    assert row == {"message": "+2AA- +3AA- \ufffd\n", "encoding": "UTF-7", "has_raw": True}
    (row,) = visited.archive.sql("SELECT size(extra) AS extra FROM commits WHERE length(raw) > 1000000")
    assert row["extra"] == 0
