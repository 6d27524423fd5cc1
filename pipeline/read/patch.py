"""What a commit changed line by line, as git shows it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pyarrow as pa

from pipeline.model.text import text_and_raw
from pipeline.model.tree import kind_of
from pipeline.read.scratch_repository import ScratchRepository

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("path_raw", pa.binary()),
        ("old_path", pa.string()),
        ("old_path_raw", pa.binary()),
        ("added", pa.int64()),
        ("deleted", pa.int64()),
    ]
)
_BINARY = b"-"


def patch(repository: ScratchRepository, old: bytes, new: bytes) -> bytes:
    """The output of ``git diff-tree -p -M --full-index`` for two root trees.

    Raises:
        NotKept, TooManyChanges, GitMissing, GitFailed, StoredFileDamaged: as methods of the repository.
    """
    _lend(repository, old, new)
    return repository.git("diff-tree", "-p", "-M", "--full-index", old.hex(), new.hex())


def stats(repository: ScratchRepository, old: bytes, new: bytes) -> pa.Table:
    """Counts of lines by file, as ``git diff-tree -r -M --numstat`` for two root trees: columns of ``SCHEMA``.

    Raises:
        NotKept, TooManyChanges, GitMissing, GitFailed, StoredFileDamaged: as methods of the repository.
    """
    _lend(repository, old, new)
    said = repository.git("diff-tree", "-r", "-M", "--numstat", "-z", old.hex(), new.hex())
    return pa.Table.from_pylist(list(_counts(said)), SCHEMA)


def _lend(repository: ScratchRepository, old: bytes, new: bytes) -> None:
    entries = chain.from_iterable((*changed.old, *changed.new) for changed in repository.compare(old, new))
    repository.add_contents({entry.oid for entry in entries if kind_of(entry.mode) != "gitlink"})


def _counts(said: bytes) -> Iterator[dict[str, object]]:
    parts = iter(said.split(b"\0")[:-1])
    for part in parts:
        added, deleted, path = part.split(b"\t", 2)
        old = None
        if not path:  # of a rename both follow
            old, path = next(parts), next(parts)
        names = (*text_and_raw(path), *((None, None) if old is None else text_and_raw(old)))
        yield dict(zip(SCHEMA.names, (*names, _count(added), _count(deleted)), strict=True))


def _count(digits: bytes) -> int | None:
    return None if digits == _BINARY else int(digits)
