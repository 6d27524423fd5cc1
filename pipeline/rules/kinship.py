"""Which archived network a new origin shares its history with, though nobody declared it a fork. Touches no table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self

from pipeline.rules.negotiation import HEAD, Ref

MOST_TIPS = 64
"""Refs of an origin that are looked at, those with the least ids: of two copies these are mostly the same ones."""

MOST_ROOTS = 3
"""Roots up to which an id tells something. One that more of them have comes from a template that they began with."""

ENOUGH_TIPS = 3
"""Shared refs that are enough, however many others an origin has."""


class Evidence(StrEnum):
    """By what an undeclared fork was found; of several, the first one."""

    TAG = "annotated_tag"
    HEAD = "head"
    TIPS = "tips"


@dataclass(frozen=True, slots=True)
class Tips:
    """What an origin shows, as far as it is looked at.

    Attributes:
        head: the commit at HEAD, None if there is none.
        refs: what refs point at, each once: the id, and what an annotated tag finally points at, else the id again.
            Some servers do not tell where tags lead.
    """

    head: bytes | None
    refs: frozenset[tuple[bytes, bytes]]

    @classmethod
    def of(cls, refs: Mapping[bytes, Ref], peeled: Mapping[bytes, bytes]) -> Self:
        """The tips of all refs of an origin, by full name.

        Args:
            peeled: what annotated tags finally point at, by the name of the ref, as far as the server told.
        """
        shown = {(ref.target, peeled.get(name, ref.target)) for name, ref in refs.items() if ref.target is not None}
        head = refs.get(HEAD)
        return cls(None if head is None else head.target, frozenset(sorted(shown)[:MOST_TIPS]))

    def ids(self) -> set[bytes]:
        """All ids."""
        found = {oid for pair in self.refs for oid in pair}
        return found if self.head is None else found | {self.head}


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An origin that was never visited and declares no parent; ``may_move``: unless others are declared its forks."""

    url: str
    tips: Tips
    may_move: bool = True


@dataclass(frozen=True, slots=True)
class Kin:
    """The root of the network to which an undeclared fork belongs, and by what it was found."""

    root: str
    by: Evidence


@dataclass(frozen=True, slots=True)
class Archived:
    """What the archive has of some ids.

    Attributes:
        commits: by id of a commit with parents, the roots of networks that have it.
        tags: the same for annotated tags.
        since: when the oldest origin of a root's networks was added.
        sizes: to how many ids the refs of a root point; none for a root without refs.
    """

    commits: Mapping[bytes, Collection[str]] = field(default_factory=dict)
    tags: Mapping[bytes, Collection[str]] = field(default_factory=dict)
    since: Mapping[str, datetime] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)


def find_kin(newcomers: Iterable[Newcomer], archived: Archived) -> dict[str, Kin]:
    """The newcomers that are undeclared forks, by URL.

    One belongs to a network that has an annotated tag of it, the commit at its HEAD, or enough of what its refs point
    at: ``ENOUGH_TIPS``, or half of what the refs of it, or of the network's root, point at. A commit without parents
    does not count, nor does what more than ``MOST_ROOTS`` roots have: whoever begins with the same template has these.
    Of several networks, the one with most shared tags, then refs, then the oldest. One that belongs to no archived
    network may belong to a newcomer before it: of that no history is known, so they must share a tag, or two refs and
    half of those of the smaller one.

    Args:
        newcomers: in the order in which they were added.
    """
    kin: dict[str, Kin] = {}
    alone = _Alone()
    for newcomer in newcomers:
        tips = newcomer.tips
        found = (_in_archive(tips, archived) or alone.kin_of(tips)) if newcomer.may_move else None
        if found is None:
            alone.add(newcomer.url, tips)
        else:
            kin[newcomer.url] = found
    return kin


def _in_archive(tips: Tips, archived: Archived) -> Kin | None:
    tags, shared = Counter[str](), Counter[str]()
    for target, commit in tips.refs:
        of_tag = _telling(archived.tags.get(target, ()))
        tags.update(of_tag)
        shared.update(of_tag | _telling(archived.commits.get(commit, ())))
    at_head = frozenset[str]() if tips.head is None else _telling(archived.commits.get(tips.head, ()))
    sizes = {root: min(len(tips.refs), archived.sizes.get(root, MOST_TIPS)) for root in shared}
    enough = {root for root, count in shared.items() if count >= ENOUGH_TIPS or 2 * count >= sizes[root]}
    roots = at_head | tags.keys() | enough
    if not roots:
        return None
    root = min(roots, key=lambda each: (-tags[each], -shared[each], archived.since[each], each))
    return Kin(root, Evidence.TAG if tags[root] else Evidence.HEAD if root in at_head else Evidence.TIPS)


class _Alone:
    """Newcomers that belong to no network but their own."""

    def __init__(self) -> None:
        self._roots: dict[bytes, set[str]] = {}
        self._sizes: dict[str, int] = {}

    def add(self, url: str, tips: Tips) -> None:
        self._sizes[url] = len(tips.refs)
        for oid in _ids(tips.refs):
            self._roots.setdefault(oid, set()).add(url)

    def kin_of(self, tips: Tips) -> Kin | None:
        tags, shared = Counter[str](), Counter[str]()
        for target, commit in tips.refs:
            of_tag = _telling(self._roots.get(target, ())) if target != commit else frozenset[str]()
            tags.update(of_tag)
            shared.update(of_tag | _telling(self._roots.get(commit, ())))
        smaller = {root: min(len(tips.refs), self._sizes[root]) for root in shared}
        roots = tags.keys() | {root for root, count in shared.items() if count >= 2 and 2 * count >= smaller[root]}
        if not roots:
            return None
        root = max(roots, key=lambda each: (tags[each], shared[each]))
        return Kin(root, Evidence.TAG if tags[root] else Evidence.TIPS)


def _ids(refs: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    for target, commit in refs:
        yield target
        if commit != target:
            yield commit


def _telling(roots: Collection[str]) -> frozenset[str]:
    return frozenset(roots) if len(roots) <= MOST_ROOTS else frozenset()
