"""Whose work a file is, and how many people a project can lose: degree of authorship and truck factor.

After Avelino, Passos, Hora and Valente, "A Novel Approach for Estimating Truck Factors", ICPC 2016 (arXiv 1604.06766).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import log
from typing import Final, NamedTuple

LEAST_DEGREE: Final = 3.293
"""Degree of authorship that an author of a file has at least."""

LEAST_SHARE: Final = 0.75
"""And what part of the highest degree in this file it is, at least."""

COVERED: Final = 0.5
"""A project goes on while this part of its files has an author."""


class Commit(NamedTuple):
    """A commit; ``time`` in any unit, ``developer`` None if nobody counts."""

    parents: Sequence[bytes]
    time: float
    developer: str | None


class Change(NamedTuple):
    """What a commit did to a file; statuses as in ``commit_files``."""

    status: str
    path: str
    old_path: str | None


@dataclass(slots=True)
class FileHistory:
    """Who created a file, and how often who changed it afterwards."""

    first: str | None = None
    deliveries: Counter[str] = field(default_factory=Counter)

    def authors(self) -> set[str]:
        """Those whose degree of authorship is high enough, alone and beside the others'."""
        changes = self.deliveries.total()
        people = {*self.deliveries, *({self.first} if self.first is not None else ())}
        degrees = {
            one: 3.293 + 1.098 * (one == self.first) + 0.164 * own - 0.321 * log(1 + changes - own)
            for one in people
            for own in (self.deliveries[one],)
        }
        highest = max(degrees.values(), default=0.0)
        return {one for one, degree in degrees.items() if degree >= LEAST_DEGREE and degree > LEAST_SHARE * highest}


def oldest_first(commits: Mapping[bytes, Commit], head: bytes) -> Iterator[bytes]:
    """The commits that one leads to, and itself, each after its parents, and by time where these leave a choice."""
    reached, todo = set[bytes](), [head]
    children: dict[bytes, list[bytes]] = {}
    waits: dict[bytes, int] = {}
    while todo:
        oid = todo.pop()
        if oid in reached or oid not in commits:
            continue
        reached.add(oid)
        parents = {parent for parent in commits[oid].parents if parent in commits}
        waits[oid] = len(parents)
        for parent in parents:
            children.setdefault(parent, []).append(oid)
        todo += parents
    ready = [(commits[oid].time, oid) for oid, number in waits.items() if not number]
    heapify(ready)
    while ready:
        _, oid = heappop(ready)
        yield oid
        for child in children.get(oid, ()):
            waits[child] -= 1
            if not waits[child]:
                heappush(ready, (commits[child].time, child))


def histories(commits: Iterable[tuple[str | None, Sequence[Change]]]) -> dict[str, FileHistory]:
    """The histories of the files that are left after some commits, by path; a renamed file keeps its own.

    Args:
        commits: developer and changes of each, in the order of ``oldest_first``, merges left out.
    """
    found: dict[str, FileHistory] = {}
    for developer, changes in commits:
        gone = (change.path if change.status == "D" else change.old_path for change in changes)
        before = {path: found.pop(path, None) for path in gone if path is not None}
        for status, path, old_path in changes:
            if status == "D":
                continue
            history = found.get(path) if old_path is None else before.get(old_path)
            if history is None and status == "A":
                found[path] = FileHistory(developer)
                continue
            found[path] = history or FileHistory()
            if developer is not None:
                found[path].deliveries[developer] += 1
    return found


def truck_factor(files: Collection[Collection[str]]) -> list[str]:
    """The developers without whom less than half of the files have an author, those of most files first.

    Args:
        files: the authors of each file.

    >>> truck_factor([{"a"}, {"a", "b"}, {"b"}, {"c"}])
    ['a', 'b']
    """
    work: dict[str, list[int]] = {}
    for number, authors in enumerate(files):
        for author in authors:
            work.setdefault(author, []).append(number)
    left = [len(authors) for authors in files]
    covered = sum(number > 0 for number in left)
    lost = []
    for author in sorted(work, key=lambda author: (-len(work[author]), author)):
        if covered < COVERED * len(left):
            break
        lost.append(author)
        for number in work[author]:
            left[number] -= 1
            covered -= not left[number]
    return lost
