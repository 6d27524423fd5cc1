"""The commits, tags and trees of a network on scratch, and what its refs lead to."""

from __future__ import annotations

import re
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final

import numpy as np
import numpy.typing as npt

from pipeline.git.delta import shared_ends
from pipeline.model.links import OID_BYTES, commit_links, tag_link
from pipeline.model.objects import BY_NUMBER, COMMIT, TREE, GitObject, ObjectType
from pipeline.model.tree import entries_before_damage, kind_of

_ENTRY: Final = re.compile(rb"(?:40000|100[0-7]{3}|120000) [^\0]++\0(.{20})|160000 [^\0]++\0.{20}|(.+)", re.DOTALL)
"""An entry with a mode that git writes, or once wrote; a submodule's id is no link. The last branch matches the rest of
any other tree, so that no search goes on there."""

_HELD_BYTES: Final = 64 << 20
"""Bytes of trees with which later ones are compared."""

_NO_BASE: Final = -1

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Known:
    """A tree with which later ones are compared: its number, body, and where its entries begin and end."""

    number: int
    body: bytes
    ends: Offsets


class History:
    """Commits, tags and trees by id. Use as a context manager: it deletes the scratch file.

    A version of a directory names nearly the same objects as the version before. So only the entries in which a tree
    differs from an earlier one are read, and that tree is remembered: if it is reached, then so is what both share.

    Args:
        scratch: folder for the scratch file.
    """

    def __init__(self, scratch: Path) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=scratch, buffering=1 << 20)  # noqa: SIM115 - closed by __exit__
        self._types = bytearray()
        self._starts = array("Q", [0])
        self._numbers: dict[bytes, int] = {}
        self._bases = array("q")
        self._links: list[bytes] = []
        self._known: dict[bytes, _Known] = {}
        self._held_bytes = 0

    def __enter__(self) -> History:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()

    def __contains__(self, oid: bytes) -> bool:
        return oid in self._numbers

    def add(self, type_: ObjectType, oid: bytes, body: bytes) -> None:
        """Add one commit, tag or tree; a repeated id is skipped. All are added before the first is read."""
        if oid in self._numbers:
            return
        number = len(self._types)
        self._numbers[oid] = number
        self._types.append(type_)
        self._starts.append(self._starts[-1] + len(body))
        self._file.write(body)
        base, links = self._tree_links(number, body) if type_ is TREE else (_NO_BASE, links_of(type_, body))
        self._bases.append(base)
        self._links.append(b"".join(links))

    def reachable(self, tips: Iterable[bytes]) -> set[bytes]:
        """Ids of everything that the tips lead to, including blobs and missing objects."""
        seen: set[bytes] = set()
        ids = list(self._numbers)
        self._follow(list(tips), seen)
        while unmet := [number for number, oid in enumerate(ids) if oid in seen and self._is_unmet(number, ids, seen)]:
            for number in unmet:
                self._bases[number] = _NO_BASE
                self._follow([*links_of(TREE, self._body(number))], seen)
        return seen

    def _follow(self, todo: list[bytes], seen: set[bytes]) -> None:
        while todo:
            oid = todo.pop()
            if oid in seen:
                continue
            seen.add(oid)
            number = self._numbers.get(oid)
            if number is not None:
                links = self._links[number]
                todo.extend(links[at : at + OID_BYTES] for at in range(0, len(links), OID_BYTES))

    def _is_unmet(self, number: int, ids: list[bytes], seen: set[bytes]) -> bool:
        """Whether a tree shares entries with one that was not reached."""
        return self._bases[number] != _NO_BASE and ids[self._bases[number]] not in seen

    def _tree_links(self, number: int, body: bytes) -> tuple[int, Iterable[bytes]]:
        """A tree's base and the links in which it differs; without a base, all links."""
        key = body[: body.find(b"\0")]
        known = self._known.get(key)
        if known is None:
            known = _Known(_NO_BASE, b"", np.zeros(1, np.int64))
        ends = shared_ends(known.body, body)
        first = int(np.searchsorted(known.ends, ends.first, "right")) - 1
        last = int(np.searchsorted(known.ends, len(known.body) - ends.last))
        begin, shift = int(known.ends[first]), len(body) - len(known.body)
        found = list(_ENTRY.finditer(body, begin, int(known.ends[last]) + shift))
        between = np.array([match.end() for match in found], np.int64)
        if not _adjoin(found, begin, int(known.ends[last]) + shift):
            return _NO_BASE, links_of(TREE, body)
        self._remember(
            key,
            _Known(number, body, np.concatenate((known.ends[: first + 1], between, known.ends[last + 1 :] + shift))),
        )
        return known.number, [match[1] for match in found if match[1] is not None]

    def _remember(self, key: bytes, tree: _Known) -> None:
        if key in self._known:
            self._held_bytes -= len(self._known[key].body)
        self._known[key] = tree
        self._held_bytes += len(tree.body)
        if self._held_bytes > _HELD_BYTES:
            self._known.clear()
            self._held_bytes = 0

    def objects(self, wanted: set[bytes]) -> Iterator[GitObject]:
        """The wanted ones among these, in order of arrival."""
        self._file.seek(0)
        for number, oid in enumerate(self._numbers):
            body = self._file.read(self._starts[number + 1] - self._starts[number])
            if oid in wanted:
                yield GitObject(BY_NUMBER[self._types[number]], oid, body)

    def _body(self, number: int) -> bytes:
        self._file.seek(self._starts[number])
        return self._file.read(self._starts[number + 1] - self._starts[number])


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
