"""The commit that a person means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.model.errors import UsageError
from pipeline.read.one_origin import Place
from pipeline.read.stored import StoredTables
from pipeline.rules.commit_diff import EMPTY_TREE
from pipeline.rules.negotiation import HEAD, Ref
from pipeline.tables.snapshot.rows import Value

_ID = re.compile(r"[0-9a-fA-F]{40}")
_PLACES = (b"", b"refs/", b"refs/tags/", b"refs/heads/")
"""Where a short name is looked for, in git's order."""

_MOST_TAGS = 100
"""Tags of tags that are followed."""


class CommitNotFound(UsageError):
    """An origin has no such commit."""

    def __init__(self, url: str, wanted: str) -> None:
        super().__init__(url, wanted)
        self.url, self.wanted = url, wanted

    def __str__(self) -> str:
        return f"{self.url} has no commit {self.wanted}: give a full id, or the name of a branch or tag"


@dataclass(frozen=True, slots=True)
class FoundCommit:
    """A commit, its root tree and its parents, by their ids. The tree of one that names none is the empty tree."""

    oid: bytes
    tree: bytes
    parents: tuple[bytes, ...]


def find_commit(
    tables: StoredTables, url: str, place: Place, refs: Mapping[bytes, Ref], wanted: str | bytes | None
) -> FoundCommit | None:
    """A commit of an origin's network.

    Args:
        refs: those of the origin.
        wanted: an id, 40 hexadecimal digits or 20 bytes; the name of a ref, also short as git takes it; None for HEAD.

    Returns:
        None if HEAD was wanted, and the origin has no commit there.

    Raises:
        CommitNotFound: there is no such commit.
    """
    oid = _named(refs, wanted)
    for _ in range(_MOST_TAGS):
        if oid is None:
            break
        found = read_commit(tables, place, oid)
        if found is not None:
            return found
        equal: dict[str, Value] = {"network": place.network, "oid": oid}
        tags = (row for batch in tables.visible("tags", ["target"], equal, place.bucket) for row in batch.to_pylist())
        oid = next((row["target"] for row in tags), None)
    if wanted is None:
        return None
    raise CommitNotFound(url, wanted.hex() if isinstance(wanted, bytes | bytearray) else wanted)


def read_commit(tables: StoredTables, place: Place, oid: bytes) -> FoundCommit | None:
    """A commit by its id; None if the archive has none."""
    equal: dict[str, Value] = {"network": place.network, "oid": oid}
    for batch in tables.visible("commits", ["tree", "parents"], equal, place.bucket):
        for row in batch.to_pylist():
            return FoundCommit(oid, row["tree"] or EMPTY_TREE, tuple(row["parents"] or ()))
    return None


def _named(refs: Mapping[bytes, Ref], wanted: str | bytes | None) -> bytes | None:
    if isinstance(wanted, bytes | bytearray):
        return bytes(wanted)
    if wanted is not None and _ID.fullmatch(wanted):
        return bytes.fromhex(wanted)
    name = HEAD if wanted is None else wanted.encode()
    found = (refs[place + name].target for place in _PLACES if place + name in refs)
    return next(found, None)
