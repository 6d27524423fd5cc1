"""Nights one after the other, from real servers: exactly the new objects are landed, and none twice."""

from __future__ import annotations

import hashlib
import random
from itertools import accumulate
from pathlib import Path

import pytest

from pipeline.git import pack
from pipeline.git.limits import Limits
from pipeline.model.objects import ObjectType
from pipeline.model.origin import network_id
from tests.fetch.archive import Archive, Serve, reachable
from tests.fetch.handmade import handmade
from tests.git.packs import BLOB, append, everything, full, ofs_delta, pack_objects, pack_of, ref_delta, replace_all
from tests.support.repos import (
    add_commits,
    build_graph,
    dangling_head,
    detached_head,
    empty_repository,
    force_push,
    fork_of,
    git,
    init,
    put,
    put_commit,
    put_tag,
    put_tree,
    resolve,
    set_refs,
    strange_repository,
)

TYPES = set(ObjectType)


def listed_refs(repo: Path) -> dict[bytes, tuple[str, str | None]]:
    """Heads and tags as git lists them: target and an annotated tag's final target."""
    said = git(repo, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags")
    refs = {}
    for line in said.splitlines():
        name, _, oid = line.rpartition(b" ")
        kind = git(repo, "cat-file", "-t", oid.decode()).decode().strip()
        peeled = resolve(repo, f"{oid.decode()}^{{}}") if kind == "tag" else None
        refs[name] = oid.decode(), peeled
    return refs


def test_a_strange_repository_is_landed_exactly(serve: Serve, root: Path, tmp_path: Path) -> None:
    repo = strange_repository(root / "repo.git", large_bytes=300_000)
    archive = Archive(tmp_path)
    with serve(root) as server:
        night = archive.fetch(url := server.url())
    expected = {oid.hex(): found for oid, found in everything(repo).items() if oid.hex() in reachable(repo)}
    assert sorted(night.new_ids()) == sorted(expected), "each once, no others"
    assert night.objects() == expected
    assert sorted(night.ids("contents")) == sorted(night.ids("blobs"))

    refs = night.refs(url)
    head = refs.pop(b"HEAD")
    found = {
        name: (row["target"].hex(), None if row["peeled"] is None else row["peeled"].hex())
        for name, row in refs.items()
    }
    assert found == listed_refs(repo)
    assert (head["target"].hex(), head["symref"], head["symref_raw"]) == (
        resolve(repo, "HEAD"),
        "refs/heads/main",
        None,
    )
    assert {row["network"] for row in night.rows("refs")} == {network_id(url)}

    visit = night.visit(url)
    assert (visit["status"], visit["error"], visit["detail"], visit["run_id"]) == ("full", None, None, "run")
    assert visit["objects"] == len(expected)
    assert visit["pack_bytes"] > 0
    assert archive.left_in_scratch() == []


def test_what_is_at_head_is_marked_and_lies_apart(root: Path, tmp_path: Path, serve: Serve) -> None:
    repo = root / "repo.git"
    build_graph(repo, [[1], [2, 1], [3, 1, 2], [4, 3]])
    add_commits(repo, 10)
    with serve(root) as server:
        night = Archive(tmp_path).fetch(server.url())
    at_head = set(git(repo, "ls-tree", "-r", "-t", "--format=%(objectname)", "main").decode().split())
    at_head.add(resolve(repo, "main^{tree}"))
    for table in ("trees", "contents"):
        rows = night.rows(table)
        assert {row["oid"].hex() for row in rows if row["at_head"]} == at_head & {row["oid"].hex() for row in rows}
        assert not all(row["at_head"] for row in rows)
        (landed,) = [f for f in night.manifest.files if f.table == table]
        file = night.file(landed.path)
        column = file.schema_arrow.get_field_index("at_head")
        groups = [file.metadata.row_group(n).column(column).statistics for n in range(file.num_row_groups)]
        assert all(group.min == group.max for group in groups)
        assert [group.min for group in groups] == [True, False]
    names = {row["name"]: row["ext"] for row in night.rows("blobs")}
    assert names["log.txt"] == "txt"


def test_a_night_without_news_moves_no_pack(serve: Serve, root: Path, tmp_path: Path) -> None:
    strange_repository(root / "repo.git", large_bytes=30_000)
    archive = Archive(tmp_path)
    with serve(root) as server:
        archive.fetch(url := server.url())
        asked = len(server.requests)
        night = archive.fetch(url)
        posts = [request for request in server.requests[asked:] if request.startswith("POST")]
    assert night.visit(url)["status"] == "unchanged"
    assert (night.visit(url)["pack_bytes"], night.visit(url)["objects"]) == (0, 0)
    assert night.tables() == ["visits"]
    assert len(posts) <= 1, "ls-refs only"


def test_new_commits_bring_only_their_objects(serve: Serve, root: Path, tmp_path: Path) -> None:
    repo = root / "repo.git"
    build_graph(repo, [[1], [2, 1], [3, 1, 2]])
    archive = Archive(tmp_path)
    with serve(root) as server:
        archive.fetch(url := server.url())
        before = set(git(repo, "rev-list", "--objects", "--no-object-names", "--all").decode().split())
        add_commits(repo, 10)
        put_tag_on(repo, "v1")
        night = archive.fetch(url)
    assert sorted(night.new_ids()) == sorted(reachable(repo) - before)
    assert len(night.ids("commits")) == 10
    assert set(night.refs(url)) == {b"HEAD", b"refs/heads/main", b"refs/tags/v1"}
    assert night.refs(url)[b"refs/tags/v1"]["peeled"].hex() == resolve(repo, "main")


def put_tag_on(repo: Path, name: str, revision: str = "main", kind: str = "commit") -> str:
    tag = put_tag(repo, resolve(repo, revision), kind, name)
    set_refs(repo, {f"refs/tags/{name}".encode(): tag})
    return tag


def test_a_force_push_and_a_deleted_branch(serve: Serve, root: Path, tmp_path: Path) -> None:
    repo = root / "repo.git"
    build_graph(repo, [[1], [2, 1], [3, 1]])
    git(repo, "branch", "topic", "main")
    archive = Archive(tmp_path)
    with serve(root) as server:
        archive.fetch(url := server.url())
        amended = force_push(repo)
        git(repo, "branch", "-D", "topic")
        night = archive.fetch(url)
        again = archive.fetch(url)
    assert night.ids("commits") == [amended]
    refs = night.refs(url)
    assert refs[b"refs/heads/main"]["target"].hex() == amended
    gone = refs.pop(b"refs/heads/topic")
    assert (gone["target"], gone["peeled"], gone["symref"]) == (None, None, None)
    assert set(refs) == {b"HEAD", b"refs/heads/main"}
    assert again.visit(url)["status"] == "unchanged"


def test_a_fork_in_the_same_task_sends_only_its_own(serve: Serve, root: Path, tmp_path: Path) -> None:
    repo = root / "repo.git"
    build_graph(repo, [[n, n - 1] if n > 1 else [1] for n in range(1, 60)])
    fork = fork_of(repo, root / "fork.git", commits=3)
    archive = Archive(tmp_path)
    with serve(root) as server:
        url, fork_url = server.url(), server.url("fork.git")
        night = archive.fetch((fork_url, url), url)
    assert night.visit(fork_url)["network"] == night.visit(url)["network"] == network_id(url)
    assert night.visit(fork_url)["objects"] == len(reachable(fork) - reachable(repo))
    assert night.visit(fork_url)["pack_bytes"] < night.visit(url)["pack_bytes"] / 3
    assert sorted(night.new_ids()) == sorted(reachable(repo) | reachable(fork))
    assert set(night.refs(fork_url)) == {b"HEAD", b"refs/heads/main"}


def test_a_fork_of_another_night_sends_only_its_own(serve: Serve, root: Path, tmp_path: Path) -> None:
    repo = root / "repo.git"
    build_graph(repo, [[n, n - 1] if n > 1 else [1] for n in range(1, 60)])
    fork = fork_of(repo, root / "fork.git", commits=3)
    git(root, "clone", "-q", "--bare", "repo.git", "same.git")
    archive = Archive(tmp_path)
    with serve(root) as server:
        url, fork_url, same_url = server.url(), server.url("fork.git"), server.url("same.git")
        first = archive.fetch(url)
        night = archive.fetch(url, (fork_url, url), (same_url, url), due=[fork_url, same_url])
    assert sorted(night.new_ids()) == sorted(reachable(fork) - reachable(repo))
    assert night.visit(fork_url)["pack_bytes"] < first.visit(url)["pack_bytes"] / 3
    assert night.visit(same_url)["status"] == "full"
    assert night.visit(same_url)["pack_bytes"] == 0
    assert set(night.refs(same_url)) == {b"HEAD", b"refs/heads/main"}
    assert [line.origin for line in night.visits] == [fork_url, same_url]


def test_a_fork_learns_nested_tags_from_its_root(serve: Serve, root: Path, tmp_path: Path) -> None:
    """The fork's branch of tags points into the middle of the root's objects from the same task."""
    repo = root / "repo.git"
    build_graph(repo, [[1], [2, 1]])
    inner = put_tag(repo, resolve(repo, "main"), "commit", "inner")
    set_refs(repo, {b"refs/tags/outer": put_tag(repo, inner, "tag", "outer")})
    git(root, "clone", "-q", "--bare", "repo.git", "fork.git")
    set_refs(root / "fork.git", {b"refs/tags/inner": inner})
    archive = Archive(tmp_path)
    with serve(root) as server:
        night = archive.fetch(server.url(), (server.url("fork.git"), server.url()))
    refs = night.refs(server.url("fork.git"))
    assert {name: row["peeled"].hex() for name, row in refs.items() if row["peeled"]} == {
        b"refs/tags/inner": resolve(repo, "main"),
        b"refs/tags/outer": resolve(repo, "main"),
    }


def test_a_revert_is_not_landed_twice(serve: Serve, root: Path, tmp_path: Path) -> None:
    """The server sends the old blob again, since it does not search old trees that it thinks we have."""
    repo = empty_repository(root / "repo.git")
    text = random.Random(1).randbytes(2000).hex().encode()
    old, new = put(repo, "blob", text), put(repo, "blob", text.upper())
    trees = [put_tree(repo, ("100644", "file", blob)) for blob in (old, new)]
    first = put_commit(repo, trees[0], message=b"first\n")
    second = put_commit(repo, trees[1], first, message=b"second\n")
    set_refs(repo, {b"refs/heads/main": second})
    archive = Archive(tmp_path)
    with serve(root) as server:
        archive.fetch(url := server.url())
        reverted = put_commit(repo, trees[0], second, message=b"revert\n")
        set_refs(repo, {b"refs/heads/main": reverted})
        night = archive.fetch(url)
    assert night.new_ids() == [reverted]
    assert "contents" not in night.tables()


def test_head_in_all_its_forms(serve: Serve, root: Path, tmp_path: Path) -> None:
    empty_repository(root / "empty.git")
    detached, dangling = root / "detached.git", root / "dangling.git"
    for repo in (detached, dangling):
        build_graph(repo, [[1], [2, 1]])
    loose = put_commit(detached, resolve(detached, "main^{tree}"), message=b"on no branch\n")
    detached_head(detached, loose)
    dangling_head(dangling, "gone")
    archive = Archive(tmp_path)
    with serve(root) as server:
        urls = [server.url(f"{name}.git") for name in ("empty", "detached", "dangling")]
        night = archive.fetch(*urls)
        again = archive.fetch(*urls)
        add_commits(root / "empty.git", 1)
        third = archive.fetch(*urls)
    empty, off, lost = (night.refs(url) for url in urls)
    assert [night.visit(url)["status"] for url in urls] == ["full"] * 3
    assert [(row["target"], row["symref"]) for row in empty.values()] == [(None, "refs/heads/main")]
    assert (off[b"HEAD"]["target"].hex(), off[b"HEAD"]["symref"]) == (loose, None)
    assert loose in night.ids("commits")
    assert (lost[b"HEAD"]["target"], lost[b"HEAD"]["symref"]) == (None, "refs/heads/gone")
    assert [again.visit(url)["status"] for url in urls] == ["unchanged"] * 3
    assert [third.visit(url)["status"] for url in urls] == ["full", "unchanged", "unchanged"]
    assert third.refs(urls[0])[b"HEAD"]["target"].hex() == resolve(root / "empty.git", "main")


def test_modes_that_git_takes_for_submodules_are_not_missed(serve: Serve, root: Path, tmp_path: Path) -> None:
    """Git sends nothing for an entry whose mode has no file type, or a submodule's with extra bits."""
    repo = init(root / "repo.git")
    blob = put(repo, "blob", b"here\n")
    inner = put_tree(repo, ("100644", "x", blob))
    tree = put_tree(
        repo,
        ("644", "no-type", "12" * 20),
        ("160755", "submodule", "34" * 20),
        ("40755", "tree", inner),
        ("100600", "blob", blob),
        ("120777", "link", put(repo, "blob", b"target")),
    )
    set_refs(repo, {b"refs/heads/main": put_commit(repo, tree)})
    with serve(root) as server:
        night = Archive(tmp_path).fetch(url := server.url())
    assert night.visit(url)["status"] == "full", night.visit(url)["detail"]
    assert len(night.new_ids()) == 5
    assert all(row["at_head"] for row in night.rows("trees") + night.rows("contents"))


def test_what_is_archived_can_be_read_back_as_delta_bases(serve: Serve, root: Path, tmp_path: Path) -> None:
    repo = strange_repository(root / "repo.git", large_bytes=3000, versions=2)
    archive = Archive(tmp_path)
    with serve(root) as server:
        archive.fetch(url := server.url())
    known, network = archive.known(), network_id(url)
    expected = {oid.hex(): found for oid, found in everything(repo).items() if oid.hex() in reachable(repo)}
    ids = [bytes.fromhex(oid) for oid in expected]
    assert {oid.hex(): (type_, body) for type_, oid, body in known.load(network, ids, TYPES)} == expected
    assert known.which(network, ids) == set(ids)
    assert {found.type for found in known.load(network, ids, {ObjectType.TREE})} == {ObjectType.TREE}
    assert known.which(network + 1, ids) == set()
    assert list(known.load(network + 1, ids, TYPES)) == []
    assert known.tags(network + 1, ids) == {}


def test_a_delta_base_outside_the_pack_is_read_from_the_archive(root: Path, tmp_path: Path) -> None:
    """As GitHub sends them: deltas by id on a base that only the archive has."""
    repo = root / "repo.git"
    build_graph(repo, [[n, n - 1] if n > 1 else [1] for n in range(1, 40)])
    old = resolve(repo, "main")
    before = pack_objects(repo, "--revs", stdin=b"main\n")
    add_commits(repo, 30)
    tip = resolve(repo, "main")
    thin = pack_objects(repo, "--revs", "--thin", stdin=f"main\n^{old}\n".encode())
    new = reachable(repo) - reachable(repo, old)
    archive = Archive(tmp_path)
    with handmade(refs := {"HEAD": old, "refs/heads/main": old}, [before, thin]) as (server, asked):
        archive.fetch(url := server.url())
        refs.update({"HEAD": tip, "refs/heads/main": tip})
        night = archive.fetch(url)
    assert sorted(night.new_ids()) == sorted(new)
    assert night.objects() == {oid: everything(repo)[bytes.fromhex(oid)] for oid in new}
    assert [b"have " + old.encode() in lines for lines in asked.fetches()] == [False, True]
    assert all(b"ofs-delta" in lines for lines in asked.fetches())


def test_bases_that_nobody_has_are_asked_for_once_more(root: Path, tmp_path: Path) -> None:
    """A server that overestimates what we have is asked again without offers, and its first rows are dropped."""
    repo = root / "repo.git"
    build_graph(repo, [[1], [2, 1]])
    old = resolve(repo, "main")
    first = pack_objects(repo, "--revs", stdin=b"main\n")
    add_commits(repo, 5)
    tip = resolve(repo, "main")
    whole = pack_objects(repo, "--revs", stdin=b"main\n")
    lost = pack_of([full(BLOB, b"kept?"), ref_delta(b"x" * 20, append(b"base", b"!"))])
    archive = Archive(tmp_path, run_bytes=1)
    with handmade(refs := {"refs/heads/main": old}, [first, lost, whole, lost, lost]) as (server, asked):
        archive.fetch(url := server.url())
        refs["refs/heads/main"] = tip
        night = archive.fetch(url)
        refs["refs/heads/main"] = "5" * 40
        failed = archive.fetch(url)
    assert night.visit(url)["status"] == "full"
    assert sorted(night.new_ids()) == sorted(reachable(repo) - reachable(repo, old))
    assert [sum(line.startswith(b"have ") for line in lines) for lines in asked.fetches()] == [0, 1, 0, 1, 0]
    assert (failed.visit(url)["status"], failed.visit(url)["error"]) == ("failed", "bases_missing")
    assert failed.tables() == ["visits"]


def test_contents_of_a_large_pack_come_in_the_order_of_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of its chains excepted. The tree that has the names comes last."""
    monkeypatch.setattr(pack, "MANY_BYTES", 0)
    repo = init(tmp_path / "made.git")
    names = ["z.c", "b.py", "b.c", "a.py", "a.c"]
    blobs = {f"{name} {n}": put(repo, "blob", f"{name} {n}".encode()) for name in names for n in (1, 2)}
    trees = [put_tree(repo, *(("100644", name, blobs[f"{name} {n}"]) for name in sorted(names))) for n in (1, 2)]
    first = put_commit(repo, trees[0])
    tip = put_commit(repo, trees[1], first)
    entries = [entry(repo, blobs[f"{name} 1"]) for name in names]
    starts, at = list(accumulate(map(len, entries), initial=0)), sum(map(len, entries))
    for name, start in zip(names, starts, strict=False):
        old, new = f"{name} 1".encode(), f"{name} 2".encode()
        entries.append(ofs_delta(at - start, replace_all(old, new)))
        at += len(entries[-1])
    entries += [entry(repo, oid) for oid in (*trees, first, tip)]
    with handmade({"refs/heads/main": tip, "HEAD": tip}, [pack_of(entries)]) as (server, _):
        night = Archive(tmp_path, run_bytes=500).fetch(server.url())
    found = [row["name"] for row in night.rows("contents") if not row["at_head"]]
    assert found == ["z.c", "a.c", "b.c", "a.py", "b.py"]


def entry(repo: Path, oid: str) -> bytes:
    kind, data = everything(repo)[bytes.fromhex(oid)]
    return full(kind, data)


LACKING = ["blob", "subtree", "root tree", "parent", "tip", "tag target"]


@pytest.mark.parametrize("lacking", LACKING)
def test_a_pack_that_lacks_what_it_names_is_refused(lacking: str, root: Path, tmp_path: Path) -> None:
    repo = init(root / "repo.git")
    blob = put(repo, "blob", b"text")
    tree = put_tree(repo, ("100644", "a", blob))
    top = put_tree(repo, ("40000", "d", tree))
    parent = put_commit(repo, top, message=b"parent")
    tip = put_commit(repo, top, parent)
    tag = put_tag(repo, tip, "commit", "v1")
    objects = dict(zip(LACKING, [blob, tree, top, parent, tip, tip], strict=True))
    refs = {"refs/tags/v1": tag} if lacking == "tag target" else {"refs/heads/main": tip, "refs/tags/v1": tag}
    kept = [oid for oid in (blob, tree, top, parent, tip, tag) if oid != objects[lacking]]
    whole = pack_of([entry(repo, oid) for oid in kept])
    with handmade(refs, [whole]) as (server, _):
        night = Archive(tmp_path, run_bytes=1).fetch(url := server.url())
    visit = night.visit(url)
    assert (visit["status"], visit["error"], visit["objects"]) == ("failed", "pack_incomplete", 0)
    assert objects[lacking] in visit["detail"]
    assert night.tables() == ["visits"]


def test_what_is_too_large_is_noted_without_its_bytes(serve: Serve, root: Path, tmp_path: Path) -> None:
    repo = init(root / "repo.git")
    small, large = put(repo, "blob", b"small"), put(repo, "blob", b"x" * 5000)
    tree = put_tree(repo, ("100644", "large.txt", large), ("100644", "small.txt", small))
    set_refs(repo, {b"refs/heads/main": put_commit(repo, tree)})
    archive = Archive(tmp_path, limits=Limits(blob_bytes=1000))
    with serve(root) as server:
        night = archive.fetch(url := server.url())
        again = archive.fetch(url)
    visit = night.visit(url)
    assert (visit["status"], visit["error"]) == ("partial", "too_large")
    assert visit["detail"] == "1 blobs are over the size limit"
    assert night.ids("contents") == [small]
    (row,) = [row for row in night.rows("blobs") if row["oid"].hex() == large]
    assert (row["stored"], row["size"], row["sha256"]) == ("too_large", 5000, hashlib.sha256(b"x" * 5000).digest())
    assert again.visit(url)["status"] == "unchanged"
