"""The commits, tags and trees of a network on scratch, and what its refs lead to."""

from __future__ import annotations

import os
import re
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import IO, Final

import numpy as np
import numpy.typing as npt

from pipeline.git.delta import MOST_BYTES, Ends
from pipeline.git.window import Window, most_alike
from pipeline.model.links import OID_BYTES, commit_links, tag_link
from pipeline.model.objects import BY_NUMBER, COMMIT, TREE, GitObject, ObjectType
from pipeline.model.tree import entries_before_damage, kind_of

_ENTRY: Final = re.compile(rb"(?:40000|100[0-7]{3}|120000) [^\0]++\0(.{20})|160000 [^\0]++\0.{20}|(.+)", re.DOTALL)
"""An entry with a mode that git writes, or once wrote; a submodule's id is no link. The last branch matches the rest of
any other tree, so that no search goes on there."""

_HELD_BYTES: Final = 64 << 20
"""Memory of trees with which later ones are compared."""

_MOST_UNLIKE_BYTES: Final = 10_000
"""Of a tree whose differences are looked at one by one."""

_NO_BASE: Final = -1

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Known:
    """A tree with which later ones are compared: its number, body, and where its entries begin and end."""

    number: int
    body: bytes
    ends: Offsets


_NOTHING: Final = _Known(_NO_BASE, b"", np.zeros(1, np.int64))


class History:
    """Commits, tags and trees by id. Use as a context manager: it deletes the scratch files.

    A version of a directory names nearly the same objects as the version before. So only the entries in which a tree
    differs from an earlier one are read, and that tree is remembered: if it is reached, then so is what both share.

    Args:
        scratch: folder for the scratch files.
    """

    def __init__(self, scratch: Path) -> None:
        self._bodies, self._links = _Records(scratch), _Records(scratch)
        self._types = bytearray()
        self._numbers: dict[bytes, int] = {}
        self._bases = array("q")
        self._known: Window[_Known] = Window(_HELD_BYTES)

    def __enter__(self) -> History:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bodies.close()
        self._links.close()

    def __contains__(self, oid: bytes) -> bool:
        return oid in self._numbers

    def add(self, type_: ObjectType, oid: bytes, body: bytes) -> None:
        """Add one commit, tag or tree; a repeated id is skipped. All are added before the first is read."""
        if oid in self._numbers:
            return
        number = len(self._types)
        self._numbers[oid] = number
        self._types.append(type_)
        self._bodies.append(body)
        base, links = self._tree_links(number, body) if type_ is TREE else (_NO_BASE, links_of(type_, body))
        self._bases.append(base)
        self._links.append(b"".join(links))

    def reachable(self, tips: Iterable[bytes]) -> set[bytes]:
        """Ids of everything that the tips lead to, including blobs and missing objects."""
        seen: set[bytes] = set()
        ids = list(self._numbers)
        unjudged = self._follow(list(tips), seen)
        while unjudged:
            number = unjudged.pop()
            if ids[self._bases[number]] not in seen:
                unjudged += self._follow([*links_of(TREE, self._bodies.read(number))], seen)
        return seen

    def _follow(self, todo: list[bytes], seen: set[bytes]) -> list[int]:
        """Add to ``seen`` what some ids lead to; returns the new trees that share entries with another."""
        found = []
        while todo:
            oid = todo.pop()
            if oid in seen:
                continue
            seen.add(oid)
            number = self._numbers.get(oid)
            if number is not None:
                links = self._links.read(number)
                todo.extend(links[at : at + OID_BYTES] for at in range(0, len(links), OID_BYTES))
                if self._bases[number] != _NO_BASE:
                    found.append(number)
        return found

    def _tree_links(self, number: int, body: bytes) -> tuple[int, Iterable[bytes]]:
        """A tree's base and the links in which it differs; without a base, all links."""
        if len(body) > MOST_BYTES:
            return _NO_BASE, links_of(TREE, body)
        key = body[: body.find(b"\0")]
        known, ends = most_alike(self._known.of(key), body) or (_NOTHING, Ends(0, 0))
        if len(known.body) == len(body) and (links := _links_in_place(known, body)) is not None:
            self._known.add(key, _Known(number, body, known.ends), known.ends.nbytes)
            return known.number, links
        first = int(known.ends.searchsorted(ends.first, "right")) - 1
        last = int(known.ends.searchsorted(len(known.body) - ends.last))
        begin, shift = int(known.ends[first]), len(body) - len(known.body)
        found = list(_ENTRY.finditer(body, begin, int(known.ends[last]) + shift))
        between = np.array([match.end() for match in found], np.int64)
        if not _adjoin(found, begin, int(known.ends[last]) + shift):
            return _NO_BASE, links_of(TREE, body)
        entries = np.concatenate((known.ends[: first + 1], between, known.ends[last + 1 :] + shift))
        self._known.add(key, _Known(number, body, entries), entries.nbytes)
        return known.number, [match[1] for match in found if match[1] is not None]

    def objects(self, wanted: set[bytes]) -> Iterator[GitObject]:
        """The wanted ones among these, in order of arrival."""
        for number, (oid, body) in enumerate(zip(self._numbers, self._bodies, strict=True)):
            if oid in wanted:
                yield GitObject(BY_NUMBER[self._types[number]], oid, body)


class _Records:
    """Byte strings by number in a file on scratch. All are appended before the first is read."""

    def __init__(self, scratch: Path) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=scratch, buffering=1 << 20)  # noqa: SIM115 - see close
        self._starts = array("Q", [0])

    def append(self, record: bytes) -> None:
        self._starts.append(self._starts[-1] + len(record))
        self._file.write(record)

    def read(self, number: int) -> bytes:
        self._file.flush()
        return os.pread(self._file.fileno(), self._starts[number + 1] - self._starts[number], self._starts[number])

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        for begin, end in pairwise(self._starts):
            yield self._file.read(end - begin)

    def close(self) -> None:
        self._file.close()


def _links_in_place(known: _Known, body: bytes) -> list[bytes] | None:
    """The links in which a tree of the same size differs; None if that is much, or if its entries end elsewhere."""
    unlike = np.frombuffer(known.body, np.uint8) != np.frombuffer(body, np.uint8)
    if np.count_nonzero(unlike) > _MOST_UNLIKE_BYTES:
        return None
    found = []
    for number in dict.fromkeys(known.ends.searchsorted(unlike.nonzero()[0], "right").tolist()):
        match = _ENTRY.fullmatch(body, known.ends[number - 1], known.ends[number])
        if match is None or match[2] is not None:
            return None
        if match[1] is not None:
            found.append(match[1])
    return found


def _adjoin(found: list[re.Match[bytes]], begin: int, end: int) -> bool:
    """Whether entries lie one after the other, from begin to end."""
    for match in found:
        if match.start() != begin or match[2] is not None:
            return False
        begin = match.end()
    return begin == end


def links_of(type_: ObjectType, data: bytes) -> Iterable[bytes]:
    """The ids that a commit, tree or tag leads to, which restoring it also needs."""
    if type_ is COMMIT:
        links = commit_links(data)
        return links.parents if links.tree is None else [links.tree, *links.parents]
    if type_ is TREE:
        return [oid for mode, _, oid in entries_before_damage(data) if kind_of(mode) != "gitlink"]
    target = tag_link(data).target
    return () if target is None else (target,)
