"""What a commit changed, file by file, as ``git diff-tree -r -M100%`` shows it."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import attrgetter
from typing import Final, NamedTuple

from pipeline.model.tree import FORMAT_BITS, kind_of
from pipeline.rules.tree_diff import Changed, Steps, TooMany, compare
from pipeline.rules.walk import Entry

EMPTY_TREE: Final = bytes.fromhex("4b825dc642cb6eb9a060e54bf8d69288fbee4904")

UNKNOWN: Final = "X"
"""Status of a commit whose trees cannot be compared."""

MOST_LOOKED_AT: Final = 100
"""Deleted files of one content that git looks at for the source of a rename."""

_Content = tuple[int | None, bytes | None]


class FileChange(NamedTuple):
    """A file, symbolic link or submodule that differs between two trees.

    Attributes:
        status: A added, M modified, D deleted, T type changed, R renamed.
        path: the new path; the old one if it is deleted.
        old_path: the old path of a rename; else None.
        old_mode, old_oid, new_mode, new_oid: None on the side where it does not exist. Modes are those that git shows:
            0100644, 0100755, 0120000 or 0160000.
    """

    status: str
    path: bytes
    old_path: bytes | None
    old_mode: int | None
    old_oid: bytes | None
    new_mode: int | None
    new_oid: bytes | None


NOT_COMPARED: Final = FileChange(UNKNOWN, b"", None, None, None, None, None)


def file_changes(old: bytes, new: bytes, trees: Mapping[bytes, bytes], steps: Steps) -> list[FileChange]:
    """What differs between two trees, sorted by path. A renamed file is one change if its content is the same.

    If a tree that must be read is missing, or more differs than the steps allow, the only change is one of the status
    ``UNKNOWN`` and an empty path. Of a file that a tree names twice, one counts.

    Args:
        old, new: ids of root trees.
        trees: bodies of trees by id, with one for ``EMPTY_TREE`` if it is asked for.
        steps: entries that differ and may be looked at; it is reduced.
    """
    try:
        changed = sorted(compare(old, new, trees, steps), key=attrgetter("path"))
    except (KeyError, TooMany):
        return [NOT_COMPARED]
    return sorted(_with_renames([change for each in changed for change in _change(each)]), key=attrgetter("path"))


def shown_mode(mode: int) -> int:
    """The mode that git takes an entry's mode for: old versions wrote others, such as 0100664.

    >>> oct(shown_mode(0o100664)), oct(shown_mode(0o100775)), oct(shown_mode(0))
    ('0o100644', '0o100755', '0o160000')
    """
    match kind_of(mode):
        case "blob":
            return 0o100755 if mode & 0o100 else 0o100644
        case "symlink":
            return 0o120000
    return 0o160000


def _change(changed: Changed) -> Iterator[FileChange]:
    old_mode, old_oid = _side(changed.old)
    new_mode, new_oid = _side(changed.new)
    if (old_mode, old_oid) == (new_mode, new_oid):
        return
    if old_mode is None or new_mode is None:
        status = "A" if old_mode is None else "D"
    else:
        status = "M" if old_mode & FORMAT_BITS == new_mode & FORMAT_BITS else "T"
    yield FileChange(status, changed.path, None, old_mode, old_oid, new_mode, new_oid)


def _side(entries: Sequence[Entry]) -> tuple[int, bytes] | tuple[None, None]:
    return (shown_mode(entries[0].mode), entries[0].oid) if entries else (None, None)


def _with_renames(changes: Sequence[FileChange]) -> Iterator[FileChange]:
    """The changes, with added and deleted files of one content paired as git pairs them.

    Args:
        changes: sorted by path.
    """
    deleted: dict[_Content, OrderedDict[bytes, FileChange]] = defaultdict(OrderedDict)
    for change in changes:
        if change.status == "D":
            deleted[_content(change.old_mode, change.old_oid)][change.path] = change
    for change in changes:
        sources = deleted.get(_content(change.new_mode, change.new_oid)) if change.status == "A" else None
        if sources:
            source = sources.pop(_source(change.path, sources))
            yield change._replace(status="R", old_path=source.path, old_mode=source.old_mode, old_oid=source.old_oid)
        elif change.status != "D":
            yield change
    yield from chain.from_iterable(left.values() for left in deleted.values())


def _content(mode: int | None, oid: bytes | None) -> _Content:
    """What a file shares with what it may have been renamed from: regular files may differ in mode."""
    return (0o100644 if mode == 0o100755 else mode, oid)


def _source(path: bytes, deleted: Iterable[bytes]) -> bytes:
    """The path that a file had: the first whose last part is the same, else the first."""
    some = list(islice(deleted, MOST_LOOKED_AT))
    name = path.rpartition(b"/")[2]
    return next((each for each in some if each.rpartition(b"/")[2] == name), some[0])
