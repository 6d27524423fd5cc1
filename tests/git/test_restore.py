"""Repositories written from columns and bytes, judged by C git."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import pytest
from dulwich.pack import write_pack_index_v2
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.git.pack_index import pack_index
from pipeline.git.pack_writer import PackWriter
from pipeline.git.restore import DirectoryFailed, Restored, write_repository
from pipeline.model.commit import build_commit, parse_commit
from pipeline.model.errors import CheckFailed, ExitCode, UsageError
from pipeline.model.objects import BY_WORD, GitObject, ObjectType, object_id
from pipeline.model.tag import build_tag, parse_tag
from pipeline.rules.negotiation import Ref
from pipeline.rules.restore import Head, lay_out
from pipeline.storage.scratch import locked_folder
from tests.support.compare import ls_remote
from tests.support.repos import (
    build_graph,
    compare,
    dangling_head,
    detached_head,
    empty_repository,
    git,
    init,
    put,
    put_tag,
    resolve,
    run_git,
    set_refs,
    strange_repository,
)

MAIN = Head(ref=b"refs/heads/main")


def blob(body: bytes) -> GitObject:
    return GitObject(ObjectType.BLOB, object_id(ObjectType.BLOB, body), body)


def read_objects(repo: Path) -> Iterator[GitObject]:
    """Every object of a repository, commits and tags via their columns."""
    listed = git(repo, "cat-file", "--batch-all-objects", "--batch")
    at = 0
    while at < len(listed):
        end = listed.index(b"\n", at)
        oid, kind, size = listed[at:end].split()
        raw = listed[end + 1 : end + 1 + int(size)]
        if kind == b"commit":
            raw = build_commit(parse_commit(raw))
        elif kind == b"tag":
            raw = build_tag(parse_tag(raw))
        yield GitObject(BY_WORD[kind], bytes.fromhex(oid.decode()), raw)
        at = end + 2 + int(size)


def read_refs(repo: Path) -> dict[bytes, Ref]:
    """The refs that its server shows, including an unborn HEAD."""
    targets: dict[bytes, bytes] = {}
    symrefs: dict[bytes, bytes] = {}
    for line in ls_remote(repo):
        said, _, name = line.partition(b"\t")
        if said.startswith(b"ref: "):
            symrefs[name] = said[5:]
        elif not name.endswith(b"^{}"):
            targets[name] = bytes.fromhex(said.decode())
    refs = {name: Ref(target, symrefs.get(name)) for name, target in targets.items()}
    head = (repo / "HEAD").read_bytes().rstrip(b"\n")
    return refs if b"HEAD" in refs else refs | {b"HEAD": Ref(None, head[5:])}


def write_all(
    directory: Path,
    objects: Iterable[GitObject],
    refs: Mapping[bytes, bytes],
    head: Head,
    symrefs: Mapping[bytes, bytes] = MappingProxyType({}),
) -> Restored:
    def fill(pack: PackWriter) -> None:
        for found in objects:
            pack.add(found)

    return write_repository(directory, fill, refs, head, symrefs)


def restore(repo: Path, target: Path, *, without: Collection[bytes] = ()) -> Restored:
    layout = lay_out({name: ref for name, ref in read_refs(repo).items() if name not in without})
    return write_all(target, read_objects(repo), layout.refs, layout.head, layout.symrefs)


def left_overs(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_a_strange_repository_comes_back_exactly(tmp_path: Path) -> None:
    original = strange_repository(tmp_path / "a.git", large_bytes=300_000)
    restored = restore(original, tmp_path / "b.git")
    assert compare(original, tmp_path / "b.git") == []
    pack = next((tmp_path / "b.git" / "objects" / "pack").glob("*.pack"))
    verified = run_git("-C", tmp_path / "b.git", "verify-pack", pack.with_suffix(".idx"))
    assert (verified.returncode, verified.stderr) == (0, b"")
    assert restored == Restored(
        objects=sum(1 for _ in read_objects(original)),
        pack_bytes=pack.stat().st_size,
        refs=len(read_refs(original)) - 1,
    )
    assert left_overs(tmp_path) == []


def test_the_index_is_the_one_that_git_writes(tmp_path: Path) -> None:
    original = strange_repository(tmp_path / "a.git", large_bytes=1_000, versions=1)
    restore(original, tmp_path / "b.git")
    pack = next((tmp_path / "b.git" / "objects" / "pack").glob("*.pack"))
    git(original, "index-pack", "-o", tmp_path / "git.idx", pack)
    assert pack.with_suffix(".idx").read_bytes() == (tmp_path / "git.idx").read_bytes()


def test_offsets_of_all_sizes_are_as_dulwich_writes_them() -> None:
    offsets = [12, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 5 << 40]
    entries = [(blob(b"%d" % at).oid, at, number * 0xFEDCBA98 % (1 << 32)) for number, at in enumerate(offsets)]
    expected = BytesIO()
    write_pack_index_v2(expected, sorted(entries), b"s" * 20)
    assert pack_index({oid: at << 32 | crc for oid, at, crc in entries}, b"s" * 20) == expected.getvalue()


def test_peeled_tags_are_what_git_peels(tmp_path: Path) -> None:
    original = strange_repository(tmp_path / "a.git", large_bytes=1_000, versions=1)
    restore(original, tmp_path / "b.git")
    git(original, "pack-refs", "--all")
    assert (tmp_path / "b.git" / "packed-refs").read_bytes() == (original / "packed-refs").read_bytes()


def test_a_restored_repository_can_be_cloned_and_pushed_to(tmp_path: Path) -> None:
    build_graph(tmp_path / "a.git", [[1], [2, 1]])
    restore(tmp_path / "a.git", tmp_path / "b.git")
    work = tmp_path / "work"
    assert run_git("clone", "-q", tmp_path / "b.git", work).returncode == 0
    git(work, "commit", "-q", "--allow-empty", "-m", "more")
    git(work, "push", "-q", "origin", "main")
    assert git(tmp_path / "b.git", "rev-parse", "main") == git(work, "rev-parse", "HEAD")


@pytest.mark.parametrize("change", [detached_head, dangling_head], ids=["detached", "dangling"])
def test_head_stays_as_it_was(change: object, tmp_path: Path) -> None:
    build_graph(tmp_path / "a.git", [[1], [2, 1]])
    assert callable(change)
    change(tmp_path / "a.git")
    restore(tmp_path / "a.git", tmp_path / "b.git")
    assert compare(tmp_path / "a.git", tmp_path / "b.git") == []


@pytest.mark.parametrize("detached", [False, True])
def test_symbolic_refs_and_a_head_beside_the_branches_stay_as_they_were(tmp_path: Path, detached: bool) -> None:
    repo = tmp_path / "a.git"
    build_graph(repo, [[1], [2, 1], [3, 1]])
    set_refs(repo, {b"refs/custom/x": resolve(repo, "tip-2"), "refs/heads/日本".encode(): resolve(repo, "tip-2")})
    git(repo, "symbolic-ref", "HEAD", "refs/custom/x")
    git(repo, "symbolic-ref", "refs/heads/trunk", "refs/heads/main")
    git(repo, "symbolic-ref", "refs/heads/chained", "refs/heads/trunk")
    git(repo, "symbolic-ref", "refs/heads/beside/below", "refs/custom/x")
    git(repo, "symbolic-ref", "refs/tags/deep/er", "HEAD")
    git(repo, "symbolic-ref", b"refs/heads/caf\xe9", "refs/heads/日本")
    if detached:
        detached_head(repo, "main")
    restored = restore(repo, tmp_path / "b.git")
    assert ls_remote(tmp_path / "b.git") == ls_remote(repo)
    assert compare(repo, tmp_path / "b.git") == []
    assert restored.plain == ()
    restore(repo, tmp_path / "c.git", without=[b"refs/custom/x"])
    if detached:
        (tmp_path / "c.git" / "HEAD").write_bytes((repo / "HEAD").read_bytes())
    assert ls_remote(tmp_path / "c.git") == ls_remote(repo)


def test_symbolic_refs_that_no_file_can_be_are_plain(tmp_path: Path) -> None:
    long, main = b"refs/heads/" + b"x" * 300, b"refs/heads/main"
    deep = b"refs/heads/" + b"deep/" * 2000 + b"x"
    hiding, below, clash = b"refs/heads/a", b"refs/heads/a/b", b"refs/heads/main/c"
    refs = dict.fromkeys((main, long, deep, hiding, below, clash), OID)
    symrefs = dict.fromkeys((long, deep, hiding, below, clash), main)
    restored = write_all(tmp_path / "a.git", BLOB, refs, MAIN, symrefs)
    assert restored.plain == tuple(sorted((long, deep, hiding)))
    listed = ls_remote(tmp_path / "a.git")
    assert {line for line in listed if not line.startswith(b"ref: ")} == {
        DIGITS + b"\t" + name for name in (*refs, b"HEAD")
    }
    assert {line for line in listed if line.startswith(b"ref: ")} == {
        b"ref: refs/heads/main\t" + name for name in (b"HEAD", below, clash)
    }


@pytest.mark.parametrize("size", [244, 256, 3000])
def test_head_is_shown_whatever_the_length_of_the_name_that_it_gives(tmp_path: Path, size: int) -> None:
    name = b"refs/heads/" + (b"y/" * (size // 2) + b"x" if size > 300 else b"x" * size)
    layout = lay_out({b"HEAD": Ref(OID, name), name: Ref(OID), b"refs/heads/link": Ref(OID, name)})
    write_all(tmp_path / "a.git", BLOB, layout.refs, layout.head, layout.symrefs)
    shown = [line for line in ls_remote(tmp_path / "a.git") if not line.startswith(b"ref: ")]
    assert shown == [DIGITS + b"\t" + ref for ref in sorted((b"HEAD", b"refs/heads/link", name))]
    assert bool(layout.symrefs) == (size == 244)


def test_tags_peel_as_git_peels_them(tmp_path: Path) -> None:
    """By the kinds that they state, true or not, also to absent objects, and along any chain."""
    repo = tmp_path / "a.git"
    build_graph(repo, [[1]])
    tip = resolve(repo, "main")
    chain = [tip]
    for number in range(300):
        chain.append(put_tag(repo, chain[-1], "tag" if number else "commit", "chain"))
    odd = {
        b"refs/tags/lies": put_tag(repo, tip, "tag", "lies"),
        b"refs/tags/upper": put(repo, "tag", f"object {tip.upper()}\ntype commit\ntag upper\n\nx\n".encode()),
        b"refs/tags/gone": put_tag(repo, "5" * 40, "blob", "gone"),
        b"refs/tags/no-kind": put(repo, "tag", f"object {tip}\ntype blag\ntag x\n\nmore\n".encode()),
        b"refs/tags/no-name": put(repo, "tag", f"object {tip}\ntype commit\nand no more lines\n".encode()),
        b"refs/tags/short": put(repo, "tag", f"object {tip}\ntype tag\ntag \n".encode()),
        b"refs/tags/blank": put(repo, "tag", f"object {tip[:38]} \n\ntype commit\ntag x\n\nx\n".encode()),
    }
    refs = odd | {b"refs/tags/%d" % number: oid for number, oid in enumerate(chain)}
    (repo / "packed-refs").write_bytes(b"".join(b"%s %s\n" % (oid.encode(), name) for name, oid in refs.items()))
    restored = tmp_path / "b.git"
    write_all(restored, read_objects(repo), {name: bytes.fromhex(oid) for name, oid in refs.items()}, MAIN)
    assert [line for line in ls_remote(restored) if b"HEAD" not in line] == [
        line for line in ls_remote(repo) if b"refs/tags" in line
    ]


def test_an_empty_repository_stays_empty(tmp_path: Path) -> None:
    original = empty_repository(tmp_path / "a.git")
    assert restore(original, tmp_path / "b.git") == Restored(0, 0, 0)
    assert compare(original, tmp_path / "b.git") == []


def test_an_object_given_twice_is_written_once(tmp_path: Path) -> None:
    restored = write_all(tmp_path / "a.git", [blob(b"x"), blob(b"x"), blob(b"y")], {}, MAIN)
    assert restored.objects == 2
    assert run_git("-C", tmp_path / "a.git", "fsck", "--full").returncode == 0


@settings(max_examples=50)
@given(sizes=st.lists(st.integers(0, 300_000), max_size=4, unique=True))
def test_entries_of_any_size_are_read_by_git(sizes: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    repo = init(tmp_path_factory.mktemp("pack") / "a.git")
    blobs = [blob(bytes(size)) for size in sizes]
    with PackWriter(repo / "objects" / "pack") as pack:
        for found in blobs:
            pack.add(found)
        pack.finish()
    asked = b"".join(found.oid.hex().encode() + b"\n" for found in blobs)
    expected = [f"{found.oid.hex()} blob {len(found.body)}" for found in blobs]
    assert git(repo, "cat-file", "--batch-check", stdin=asked).decode().splitlines() == expected


BLOB = [blob(b"x")]
OID = BLOB[0].oid
DIGITS = OID.hex().encode()


@pytest.mark.parametrize(
    ("refs", "head", "named"),
    [
        ({b"refs/heads/lost": b"1" * 20}, MAIN, "refs/heads/lost"),
        ({b"refs/heads/short": OID[:-1]}, MAIN, "refs/heads/short"),
        ({b"refs/heads/\xff": b"1" * 20}, MAIN, "refs/heads/\\xff"),
        ({}, Head(oid=b"1" * 20), "HEAD"),
        ({}, Head(), "HEAD"),
        ({}, Head(ref=b"../../evil"), "evil"),
        ({b"refs/heads/../../evil": OID}, MAIN, "evil"),
        ({b"refs/heads/a\n" + DIGITS + b" refs/heads/evil": OID}, MAIN, "evil"),
        ({b"HEAD": OID}, MAIN, "HEAD"),
        ({b"refs/heads/": OID}, MAIN, "refs/heads/"),
        ({b"refs//evil": OID}, MAIN, "evil"),
        ({b"refs/heads/evil.lock": OID}, MAIN, "evil"),
        ({b"refs/.evil/x": OID}, MAIN, "evil"),
        ({b"refs/heads/evil@{1}": OID}, MAIN, "evil"),
    ],
)
def test_what_git_could_not_read_is_refused_by_name(
    refs: dict[bytes, bytes], head: Head, named: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckFailed) as caught:
        write_all(tmp_path / "a.git", BLOB, refs, head)
    assert named in str(caught.value)
    assert list(tmp_path.iterdir()) == []


REF_NAMES = st.lists(
    st.sampled_from([b"a", b".", b"/", b"@", b"{", b".lock", b"\xe9", b"~", b" ", b"\\", b"-", b"\x7f"]), max_size=6
).map(b"".join)


@settings(max_examples=200)
@given(name=REF_NAMES)
def test_names_are_judged_as_git_judges_them(name: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    name = b"refs/heads/" + name
    valid = run_git("check-ref-format", name).returncode == 0
    target = tmp_path_factory.mktemp("names") / "a.git"
    if valid:
        write_all(target, BLOB, {name: OID}, MAIN)
        assert git(target, "for-each-ref", "--format=%(refname)").rstrip(b"\n") == name
    else:
        with pytest.raises(CheckFailed):
            write_all(target, BLOB, {name: OID}, MAIN)


def test_a_damaged_object_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=f"blob {DIGITS.decode()} is damaged"):
        write_all(tmp_path / "a.git", [BLOB[0]._replace(body=b"z")], {}, MAIN)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    for taken in ("file", "full"):
        with pytest.raises(UsageError, match=taken):
            write_all(tmp_path / taken, BLOB, {}, MAIN)
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "file").read_text() == "mine"
    assert left_overs(tmp_path) == []


def test_a_full_disk_is_not_taken_for_a_full_scratch(tmp_path: Path) -> None:
    def fill(pack: PackWriter) -> None:
        pack.add(blob(b"x"))
        with Path("/dev/full").open("wb") as full:
            full.write(b"x")

    def restored() -> None:
        with locked_folder(tmp_path / "scratch", "restore"):
            write_repository(tmp_path / "a.git", fill, {}, MAIN)

    with pytest.raises(DirectoryFailed, match=r"a\.git cannot be written: No space left on device") as raised:
        restored()
    assert raised.value.exit_code == ExitCode.RUN_FAILED
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]


def test_an_empty_directory_is_used(tmp_path: Path) -> None:
    (tmp_path / "a.git").mkdir()
    write_all(tmp_path / "a.git", BLOB, {}, MAIN)
    assert git(tmp_path / "a.git", "cat-file", "blob", DIGITS.decode()) == b"x"


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    left = tmp_path / ".a.git.partial" / "objects" / "pack"
    left.mkdir(parents=True)
    (left / "tmp_restore.pack").write_bytes(b"half")
    (tmp_path / ".a.git.partial" / "HEAD").write_bytes(b"half")
    write_all(tmp_path / "a.git", BLOB, {}, MAIN)
    assert run_git("-C", tmp_path / "a.git", "fsck", "--full").returncode == 0
    assert left_overs(tmp_path) == []


def test_a_second_restore_to_the_same_place_is_refused(tmp_path: Path) -> None:
    partial = tmp_path / ".a.git.partial"
    partial.mkdir()
    (partial / "HEAD").write_bytes(b"theirs")
    held = os.open(partial, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process"):
            write_all(tmp_path / "a.git", BLOB, {}, MAIN)
        assert (partial / "HEAD").read_bytes() == b"theirs"
    finally:
        os.close(held)


def test_an_interrupted_stream_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[GitObject]:
        yield BLOB[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_all(tmp_path / "a.git", broken(), {}, MAIN)
    assert list(tmp_path.iterdir()) == []
