"""Made-up histories with what a diff or a blame has to tell apart, and a lender of a repository's objects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from random import Random

from pipeline.git.pack_writer import PackWriter
from pipeline.model.commit import parse_commit
from pipeline.model.objects import BLOB, BY_WORD, COMMIT, TREE, GitObject
from pipeline.read.path_history import Graph
from tests.support.repos import fast_import, git, init

NAMES = (b"a.txt", b"b.py", b"src/c.c", b"src/deep/d.txt", b"src/deep/e", b"\xff\xfe.txt", b'q"\t.txt', b"\xc3\xa4 b")
TURNS = (b"src", b"src/deep")
"""Folders in whose place there is a file now and then."""


class GitLender:
    """Lends what a repository has.

    Attributes:
        lent: ids of all that was given.
        lost: ids that it pretends to lack.
    """

    def __init__(self, repo: Path) -> None:
        self.objects = {found.oid: found for found in all_objects(repo)}
        self.lent: set[bytes] = set()
        self.lost: set[bytes] = set()

    def _give(self, wanted: Collection[bytes]) -> Iterator[GitObject]:
        for oid in sorted(set(wanted) - self.lost):
            if oid in self.objects:
                self.lent.add(oid)
                yield self.objects[oid]

    def trees(self, wanted: Collection[bytes]) -> dict[bytes, bytes]:
        return {found.oid: found.body for found in self._give(wanted) if found.type is TREE}

    def commits(self, wanted: Collection[bytes]) -> Iterator[GitObject]:
        return (found for found in self._give(wanted) if found.type is COMMIT)

    def pack_contents(self, lacking: set[bytes], pack: PackWriter) -> None:
        for found in self._give(set(lacking)):
            if found.type is BLOB:
                pack.add(found)
                lacking.discard(found.oid)

    def graph(self) -> Graph:
        commits = {oid: parse_commit(found.body) for oid, found in self.objects.items() if found.type is COMMIT}
        trees = {oid: commit.tree for oid, commit in commits.items() if commit.tree is not None}
        return Graph(trees, {oid: commit.parents for oid, commit in commits.items()})


def all_objects(repo: Path) -> Iterator[GitObject]:
    said = git(repo, "cat-file", "--batch", "--batch-all-objects")
    at = 0
    while at < len(said):
        end = said.index(b"\n", at)
        oid, word, size = said[at:end].split()
        at = end + 1 + int(size)
        yield GitObject(BY_WORD[word], bytes.fromhex(oid.decode()), said[end + 1 : at])
        at += 1


def random_history(path: Path, seed: int, commits: int = 16) -> Path:
    """Two roots, merges, renames with and without edits, links, modes, binaries, lines without an end, submodules."""
    random = Random(seed)
    init(path)
    states: list[dict[bytes, tuple[bytes, bytes]]] = []
    stream = []
    for number in range(commits):
        parents = [] if number in (0, commits // 2) else [number - 1]
        if number in (commits // 2 + 1, commits - 2):
            parents.append(random.randrange(number - 1))
        files = dict(states[parents[0]]) if parents else {}
        if len(parents) > 1:
            other = states[parents[1]]
            files |= {name: other[name] for name in sorted(other) if random.random() < 0.4}
        for _ in range(random.choice((0, 1, 1, 2, 3))):
            random.choice(CHANGES)(random, files)
        files = _without_clashes(files)
        states.append(files)
        stream.append(_commit(number, parents, files))
    fast_import(path, b"".join(stream))
    return path


def _commit(number: int, parents: list[int], files: dict[bytes, tuple[bytes, bytes]]) -> bytes:
    said = b"Say %d" % number
    lines = [b"commit refs/heads/main" if parents else b"reset refs/heads/main\ncommit refs/heads/main"]
    lines.append(b"mark :%d" % (number + 1))
    lines += [
        b"committer C <c@example.org> %d +0100" % (1_700_000_000 + number * 60),
        b"data %d\n%s" % (len(said), said),
    ]
    lines += [(b"merge :%d" if at else b"from :%d") % (parent + 1) for at, parent in enumerate(parents)]
    lines.append(b"deleteall")
    for name, (mode, content) in sorted(files.items()):
        quoted = b'"' + b"".join(b"\\%03o" % byte for byte in name) + b'"'
        if mode == b"160000":
            lines.append(b"M 160000 %s %s" % (content, quoted))
        else:
            lines.append(b"M %s inline %s\ndata %d\n%s" % (mode, quoted, len(content), content))
    return b"\n".join(lines) + b"\n"


def _without_clashes(files: dict[bytes, tuple[bytes, bytes]]) -> dict[bytes, tuple[bytes, bytes]]:
    """A path is a file or a folder: what was added last counts."""
    kept: dict[bytes, tuple[bytes, bytes]] = {}
    for name in reversed(files):
        if not any(name.startswith(other + b"/") or other.startswith(name + b"/") for other in kept):
            kept[name] = files[name]
    return kept


def _text(random: Random) -> bytes:
    end = random.choice((b"\n", b"\n", b"\r\n"))
    lines = [b"line %d" % random.randrange(8) for _ in range(random.randrange(1, 30))]
    return end.join(lines) + random.choice((end, end, b""))


def _put(random: Random, files: dict[bytes, tuple[bytes, bytes]]) -> None:
    name = random.choice(NAMES)
    files.pop(name, None)
    files[name] = (random.choice((b"100644", b"100644", b"100755")), _text(random))


def _edit(random: Random, files: dict[bytes, tuple[bytes, bytes]]) -> None:
    regular = [name for name, (mode, _) in sorted(files.items()) if mode.startswith(b"100")]
    if regular:
        name = random.choice(regular)
        mode, content = files[name]
        lines = content.splitlines(keepends=True)
        at = random.randrange(len(lines) + 1)
        lines[at : at + random.randrange(3)] = [b"new %d\n" % random.randrange(9)] * random.randrange(3)
        files[name] = (mode, b"".join(lines))


def _rename(random: Random, files: dict[bytes, tuple[bytes, bytes]]) -> None:
    if files:
        old = random.choice(sorted(files))
        entry = files.pop(old)
        files[random.choice(NAMES)] = entry
        if random.random() < 0.5:
            _edit(random, files)


def _remove(random: Random, files: dict[bytes, tuple[bytes, bytes]]) -> None:
    if files:
        files.pop(random.choice(sorted(files)))


def _turn(random: Random, files: dict[bytes, tuple[bytes, bytes]]) -> None:
    """Another mode, a link, a binary, a submodule, or a file in the place of a folder."""
    name = random.choice(sorted(files) or NAMES) if random.random() < 0.7 else random.choice(TURNS)
    kept = files.pop(name, (b"100644", b"x\n"))
    content = b"" if kept[0] == b"160000" else kept[1]
    files[name] = random.choice(
        (
            (b"100755", content),
            (b"120000", b"a.txt"),
            (b"100644", b"\0\1binary %d\n" % random.randrange(3)),
            (b"160000", b"%040x" % random.randrange(1, 9)),
            (b"100644", b""),
        )
    )


CHANGES: tuple[Callable[[Random, dict[bytes, tuple[bytes, bytes]]], None], ...] = (
    _put, _put, _edit, _edit, _rename, _rename, _remove, _turn,
)  # fmt: skip
