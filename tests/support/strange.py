"""One repository with everything that real histories contain and tidy test data does not."""

from __future__ import annotations

import random
from pathlib import Path

from tests.support.git import fast_import, git, init, put, put_commit, put_tag, put_tree, set_refs

SIGNATURE = b"-----BEGIN PGP SIGNATURE-----\n\niQEzBAABCAAdFiEE\n=abcd\n-----END PGP SIGNATURE-----"


def strange_repository(path: Path, *, large_bytes: int = 3_000_000, versions: int = 8) -> Path:
    """Build it: branches by subject, all of them merged into an octopus on main, packed with long delta chains.

    Args:
        large_bytes: size of the file ``large.txt`` on the branch of that name.
        versions: how many versions of it there are.
    """
    init(path)
    files = _odd_files(path)
    trees = _odd_trees(path)
    commits = _odd_commits(path, files)
    octopus = put_commit(path, files, files_root := put_commit(path, files), *commits.values(), message=b"Octopus\n")
    merge = put_commit(path, files, octopus, files_root, trees[b"refs/heads/modes"], message=b"Merge\n")
    set_refs(path, {b"refs/heads/main": merge} | commits | trees | _tags(path, merge, files))
    _large_file(path, large_bytes, versions)
    git(path, "repack", "-adfq", "--depth=50", "--window=20")
    return path


def _odd_files(repo: Path) -> str:
    """A tree with odd names, kinds and contents, whose entries git accepts."""
    text = put(repo, "blob", b"print('hello')\n")
    empty = put(repo, "blob", b"")
    binary = put(repo, "blob", bytes(range(256)) * 64)
    script = put(repo, "blob", b"#!/bin/sh\nexit 0\n")
    link = put(repo, "blob", b"../escape\xff")
    nothing = put_tree(repo)
    inner = put_tree(repo, ("100644", "same.txt", text), ("100644", b"\xe9t\xe9.txt", text))
    return put_tree(
        repo,
        ("100644", ".gitmodules", put(repo, "blob", b'[submodule "sub"]\n\tpath = sub\n\turl = ../sub.git\n')),
        ("100644", "README", text),
        ("100644", "a file with spaces\nand a line end", text),
        ("100644", "binary.bin", binary),
        ("100644", "cafe\u0301.txt", text),
        ("100644", "café.txt", binary),
        ("100644", b"caf\xe9.txt", text),
        ("40000", "empty-directory", nothing),
        ("100644", "empty.txt", empty),
        ("100644", "lib-old", text),
        ("100644", "lib.c", text),
        ("40000", "lib", inner),
        ("100644", "lib0", text),
        ("120000", "link", link),
        ("100644", "readme", empty),
        ("100755", "run.sh", script),
        ("160000", "sub", "1234567890" * 4),
    )


def _odd_trees(repo: Path) -> dict[bytes, str]:
    """Branches whose trees git no longer writes, but stores, serves and warns about."""
    text = put(repo, "blob", b"text\n")
    other = put(repo, "blob", b"other\n")
    inner = put_tree(repo, ("100644", "x", text))
    modes = put_tree(repo, ("100664", "group-writable", text), ("040000", "padded", inner), ("100600", "private", text))
    twice = put_tree(repo, ("100644", "twice", text), ("100644", "twice", other))
    unsorted = put_tree(repo, ("100644", "z", text), ("100644", "a", other))
    names = put_tree(repo, ("100644", ".git", text), ("100644", "..", text), ("100644", "a/b", other))
    bare = {"modes": modes, "duplicates": twice, "unsorted": unsorted, "bad-names": names, "empty-tree": put_tree(repo)}
    return {f"refs/heads/{name}".encode(): put_commit(repo, tree) for name, tree in bare.items()}


def _odd_commits(repo: Path, tree: str) -> dict[bytes, str]:
    """Branches whose commits have unusual headers or text; each is a root commit."""
    signed_tag = f"object {put_commit(repo, tree)}\ntype commit\ntag v0\ntagger T <t@example.com> 1 +0000\n\nx\n"
    mergetag = b"mergetag " + signed_tag.encode().replace(b"\n", b"\n ") + b"\n"
    gpgsig = b"gpgsig " + SIGNATURE.replace(b"\n", b"\n ") + b"\n"
    who = b"A U Thor <a@example.com> "
    made = {
        "signed": put_commit(repo, tree, headers=gpgsig),
        "signed-merge-of-tag": put_commit(repo, tree, headers=mergetag + gpgsig),
        "signed-first": put_commit(repo, tree, headers=gpgsig + mergetag),
        "extra": put_commit(repo, tree, headers=b"HG:extra branch:default\nchange-id qpvu\n"),
        "declared-latin1": put_commit(repo, tree, headers=b"encoding ISO-8859-1\n", message=b"caf\xe9\n"),
        "undeclared-latin1": put_commit(repo, tree, author=b"J\xf6rg <j@example.com> 1 +0000", message=b"caf\xe9\n"),
        "unknown-encoding": put_commit(repo, tree, headers=b"encoding x-none\n", message=b"\xff\xfe\n"),
        "utf8": put_commit(repo, tree, author="日本 <nihon@example.com> 1 +0900".encode(), message="日本語\n".encode()),
        "no-line-end": put_commit(repo, tree, message=b"no line end"),
        "no-message": put_commit(repo, tree, message=b""),
        "nul": put_commit(repo, tree, message=b"before\0after\n"),
        "carriage-return": put_commit(repo, tree, message=b"one\r\ntwo\r\n"),
        "zone": put_commit(repo, tree, author=who + b"1313584730 +051800", committer=who + b"1313584730 +051800"),
        "zone-minus-zero": put_commit(repo, tree, author=who + b"1 -0000"),
        "negative-date": put_commit(repo, tree, author=who + b"-3600 +0000", committer=who + b"-3600 +0000"),
        "huge-date": put_commit(repo, tree, author=who + b"99999999999999999999 +0000"),
        "far-date": put_commit(repo, tree, author=who + b"253402300800 +0000"),
        "no-date": put_commit(repo, tree, author=b"A U Thor <a@example.com>"),
        "nobody": put_commit(repo, tree, author=b" <> 0 +0000"),
    }
    return {f"refs/heads/{name}".encode(): oid for name, oid in made.items()}


def _tags(repo: Path, tip: str, tree: str) -> dict[bytes, str]:
    """Tags of every kind, notes, a pull request's head, and names that are not ASCII or not UTF-8."""
    annotated = put_tag(repo, tip, "commit", "v1")
    blob = put(repo, "blob", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    note = put_commit(repo, put_tree(repo, ("100644", tip, put(repo, "blob", b"a note\n"))), message=b"Notes\n")
    pull = put_commit(repo, tree, tip, message=b"Pull\n")
    return {
        b"refs/tags/v1": annotated,
        b"refs/tags/nested": put_tag(repo, annotated, "tag", "nested"),
        b"refs/tags/light": tip,
        b"refs/tags/signed": put_tag(repo, tip, "commit", "signed", message=b"signed\n" + SIGNATURE + b"\n"),
        b"refs/tags/old": put_tag(repo, tip, "commit", "old", tagger=None),
        b"refs/tags/latin1": put_tag(repo, tip, "commit", "latin1", message=b"caf\xe9\n"),
        b"refs/tags/on-tree": put_tag(repo, tree, "tree", "on-tree"),
        b"refs/tags/on-blob": put_tag(repo, blob, "blob", "on-blob"),
        b"refs/tags/light-tree": tree,
        b"refs/tags/light-blob": put(repo, "blob", b"only a tag holds me\n"),
        "refs/heads/日本".encode(): tip,
        b"refs/heads/caf\xe9": tip,
        b"refs/heads/deep/er/name": tip,
        b"refs/notes/commits": note,
        b"refs/pull/1/head": pull,
    }


def _large_file(repo: Path, size_bytes: int, versions: int) -> None:
    """The branch large.txt: one big file with a few lines changed in each version."""
    source = random.Random(1)
    lines = [b"%064x\n" % source.getrandbits(256) for _ in range(max(1, size_bytes // 65))]
    stream = []
    for version in range(versions):
        for _ in range(5):
            lines[source.randrange(len(lines))] = b"version %d\n" % version
        content = b"".join(lines)
        who = b"C O Mitter <committer@example.com> %d +0100" % (1_700_000_000 + version)
        stream.append(b"commit refs/heads/large.txt\ncommitter %s\ndata 1\nx\n" % who)
        stream.append(b"M 100644 inline large.txt\ndata %d\n%s\n" % (len(content), content))
    fast_import(repo, b"".join(stream))
