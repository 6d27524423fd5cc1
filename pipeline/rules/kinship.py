"""Which archived root a new origin is a copy of, though nobody declared it a fork. Touches no table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

from pipeline.rules.negotiation import HEAD, Ref

MOST_REFS = 256
"""Refs of an origin that are looked at, those with the least ids: of two copies these are mostly the same ones."""

LONGEST_NAME = 200
"""Bytes of the name of a ref that is looked at."""

ENOUGH = 2
"""Commits that must be shared at least, HEAD's among them: one alone may be a template's, or a vendor's branch."""

ENOUGH_WITHOUT_HEAD = 3
"""The same if HEAD's is not among them: tags and branches of others wander more easily. ``ENOUGH`` are enough if,
beside HEAD's, the root shows no others, and they are half of what the newcomer shows."""


class Tip(NamedTuple):
    """A ref: its full name, what it points at, and the commit that this finally leads to.

    For an annotated tag of which a server does not tell where it leads, ``commit`` is the tag itself.
    """

    name: bytes
    target: bytes
    commit: bytes


@dataclass(frozen=True, slots=True)
class Tips:
    """What an origin shows, as far as it is looked at; none if it shows nothing or did not answer."""

    refs: Collection[Tip] = ()

    @classmethod
    def of(cls, refs: Mapping[bytes, Ref], peeled: Mapping[bytes, bytes]) -> Self:
        """The tips of all refs of an origin, by full name.

        Args:
            peeled: what annotated tags finally point at, by the name of the ref, as far as the server told.
        """
        shown = (
            (ref.target, Tip(name, ref.target, peeled.get(name, ref.target)))
            for name, ref in refs.items()
            if ref.target is not None and len(name) <= LONGEST_NAME
        )
        return cls(tuple(tip for _, tip in sorted(shown)[:MOST_REFS]))

    @property
    def ids(self) -> set[bytes]:
        """All ids."""
        return {oid for tip in self.refs for oid in tip[1:]}

    @property
    def commits(self) -> int:
        """To how many commits they lead."""
        return len({tip.commit for tip in self.refs})


@dataclass(frozen=True, slots=True)
class Root:
    """An archived origin that is nobody's fork.

    Attributes:
        commits: to how many commits its refs lead.
        refs: those of its refs that lead to what newcomers show.
    """

    url: str
    commits: int
    refs: Collection[Tip]


def find_kin(newcomers: Mapping[str, Tips], roots: Iterable[Root]) -> dict[str, str]:
    """The newcomers that are undeclared forks, with the root that each is a copy of, by URL.

    A newcomer is a copy of a root if refs of the same names lead both to the same commits: to at least ``ENOUGH``, or
    ``ENOUGH_WITHOUT_HEAD`` with the exception that stands there, and to half of those to which the refs of the smaller
    of both lead. What it shows of any other root, whatever the refs are called, must be a part of these and not all.
    Otherwise it may be a copy of either, or bring several histories together, and it is taken for nobody's copy.

    Args:
        newcomers: what they show.
        roots: all that show any of it, in any order.
    """
    showing = _Showing.of(roots)
    kin: dict[str, str] = {}
    for url, tips in newcomers.items():
        root = showing.root_of(url, tips)
        if root is not None:
            kin[url] = root
    return kin


class _Shown(NamedTuple):
    """A ref of a root, by which a newcomer may share ``commit`` with it."""

    root: str
    name: bytes
    commit: bytes


@dataclass(frozen=True, slots=True)
class _Showing:
    """The refs of roots by what they point at or lead to; ``commits`` as in ``Root``, by URL."""

    refs: Mapping[bytes, list[_Shown]]
    commits: Mapping[str, int]

    @classmethod
    def of(cls, roots: Iterable[Root]) -> Self:
        """Those of all roots."""
        refs: dict[bytes, list[_Shown]] = {}
        commits = {}
        for root in roots:
            commits[root.url] = root.commits
            for tip in root.refs:
                for oid in {tip.target, tip.commit}:
                    refs.setdefault(oid, []).append(_Shown(root.url, tip.name, tip.commit))
        return cls(refs, commits)

    def root_of(self, url: str, tips: Tips) -> str | None:
        """The root that an origin is a copy of."""
        shared: dict[str, set[bytes]] = {}
        by_name: dict[str, set[bytes]] = {}
        with_head: set[str] = set()
        for tip in tips.refs:
            for oid in {tip.target, tip.commit}:
                for root, name, commit in self.refs.get(oid, ()):
                    shared.setdefault(root, set()).add(commit)
                    if name == tip.name:
                        by_name.setdefault(root, set()).add(commit)
                    if name == tip.name == HEAD:
                        with_head.add(root)
        if not by_name:
            return None
        best = max(by_name, key=lambda root: len(by_name[root]))
        mine, its = by_name[best], self.commits[best]
        is_all = len(mine) >= its - 1 and 2 * len(mine) >= tips.commits - 1
        least = ENOUGH if best in with_head or is_all else ENOUGH_WITHOUT_HEAD
        is_copy = len(mine) >= least and 2 * len(mine) >= min(tips.commits, its)
        is_only_one = all(commits < mine for root, commits in shared.items() if root != best)
        return best if is_copy and is_only_one and best != url else None
