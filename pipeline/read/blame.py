"""Which commit each line of a file comes from, as ``git blame`` says it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline.model.errors import UsageError
from pipeline.model.tables import COMMITS, OID
from pipeline.model.text import text_and_raw, text_of
from pipeline.model.tree import kind_of
from pipeline.read.path_history import Graph, entries_at
from pipeline.read.scratch_repository import ScratchRepository
from pipeline.read.tree_rows import Entry

_FILES = ("blob", "symlink")


_SAID = ("author_name", "author_email", "author_time")
SCHEMA = pa.schema(
    [
        ("line", pa.int64()),
        ("commit", OID),
        *(COMMITS.arrow_schema.field(name) for name in _SAID),
        ("old_line", pa.int64()),
        ("path", pa.string()),
        ("path_raw", pa.binary()),
        ("content", pa.binary()),
    ]
)


class NoSuchFile(UsageError):
    """A commit has no file of a name."""

    def __init__(self, path: bytes) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{text_of(self.path)} is not a file of this commit"


class Line(NamedTuple):
    """A line, and the commit that it comes from.

    Attributes:
        number: in the file, from 1.
        commit: id of the commit.
        old_number, path: the line's number in that commit, and the file's name there.
        content: its bytes without the line feed.
    """

    number: int
    commit: bytes
    old_number: int
    path: bytes
    content: bytes


def blame(repository: ScratchRepository, graph: Graph, tip: bytes, path: bytes) -> list[Line]:
    """The lines of a file, as ``git blame --porcelain`` shows them.

    Git gets all commits before the tip, their trees along the path, and the contents of the path in each. Where the
    file first appears, git says what it was renamed from, and that path is followed in the same way.

    Raises:
        UsageError: the path is empty.
        NoSuchFile: there is no file there.
        NotKept, TooManyChanges, GitMissing, GitFailed, StoredFileDamaged: as methods of the repository.
    """
    commits = graph.reachable(tip)
    repository.add_commits(commits)
    followed: set[bytes] = set()
    paths = {path}
    while paths:
        followed |= paths
        first = [added for each in sorted(paths) for added in _first_seen(repository, graph, commits, each)]
        found = (_renamed_from(repository, graph, *added) for added in first)
        paths = {source for sources in found for source in sources} - followed
    entry = entries_at([graph.tree[tip]], repository, path).get(graph.tree[tip])
    if not _is_file(entry):
        raise NoSuchFile(path)
    return list(_lines(repository.git("blame", "--line-porcelain", tip.hex(), "--", path)))


def blame_rows(lines: Sequence[Line], commits: Mapping[bytes, Mapping[str, Any]]) -> pa.Table:
    """Lines with what their commits say: columns of ``SCHEMA``.

    Args:
        commits: what they say, by id.
    """
    rows = (
        (line.number, line.commit, *(commits[line.commit][name] for name in _SAID), line.old_number,
         *text_and_raw(line.path), line.content)
        for line in lines
    )  # fmt: skip
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)


def _first_seen(
    repository: ScratchRepository, graph: Graph, commits: Sequence[bytes], path: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """Give git what it reads of a path; yields each commit in which git looks for its former name, and the path."""
    entries = entries_at({graph.tree[oid] for oid in commits}, repository, path)
    repository.add_contents({oid for mode, oid in entries.values() if kind_of(mode) in _FILES})
    for commit in commits:
        mine = entries.get(graph.tree[commit])
        if mine is None or not _is_file(mine):
            continue
        olds = {oid: entries.get(graph.tree[oid]) for oid in graph.parents[commit] if oid in graph.tree}
        taken_over = any(_is_like(mine, old) and old[1] == mine[1] for old in olds.values() if old)
        unlike = [oid for oid, old in olds.items() if not _is_like(mine, old)]
        if taken_over:  # git only reads what lies below a folder of this name
            unlike = [oid for oid in unlike if not _is_no_folder(olds[oid])]
        found = [_lend_deleted(repository, graph.tree[oid], graph.tree[commit]) for oid in unlike]
        if any(found) and not taken_over:
            yield commit, path


def _lend_deleted(repository: ScratchRepository, old: bytes, new: bytes) -> bool:
    """Give git the files that a commit deleted; False if there are none."""
    gone = [changed.old[0] for changed in repository.compare(old, new) if not changed.new]
    contents = {entry.oid for entry in gone if kind_of(entry.mode) == "blob"}
    repository.add_contents(contents)
    return bool(contents)


def _renamed_from(repository: ScratchRepository, graph: Graph, commit: bytes, path: bytes) -> set[bytes]:
    """The paths in its parents from which a commit's file has lines."""
    parents = [f"^{parent.hex()}" for parent in graph.parents[commit]]
    said = repository.git("blame", "--line-porcelain", commit.hex(), *parents, "--", path)
    return {line.path for line in _lines(said) if line.commit != commit}


def _is_file(entry: Entry | None) -> bool:
    return entry is not None and kind_of(entry[0]) in _FILES


def _is_like(mine: Entry, old: Entry | None) -> bool:
    """Whether git takes both for versions of a file: a link is none of a regular file."""
    return old is not None and kind_of(old[0]) == kind_of(mine[0])


def _is_no_folder(entry: Entry | None) -> bool:
    return entry is None or kind_of(entry[0]) != "tree"


def _lines(said: bytes) -> Iterator[Line]:
    """The lines in the output of ``git blame --line-porcelain``."""
    head, path = b"", b""
    for line in said.split(b"\n")[:-1]:
        if line.startswith(b"\t"):
            oid, old_number, number, *_ = head.split()
            yield Line(int(number), bytes.fromhex(oid.decode()), int(old_number), path, line[1:])
            head = b""
        elif not head:
            head = line
        elif line.startswith(b"filename "):
            path = _unquoted(line.removeprefix(b"filename "))


def _unquoted(name: bytes) -> bytes:
    """A file name that git may have quoted as in C."""
    if not name.startswith(b'"'):
        return name
    plain: bytes = ast.literal_eval("b" + name.decode("ascii"))
    return plain
