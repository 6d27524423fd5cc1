"""A file of very many origins: first checked as a whole, then read again bit by bit."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pipeline.model.errors import UsageError
from pipeline.model.origin import Origin, network_id
from pipeline.model.origin_list import BadOriginList, parse_origin_list

MOST_PROBLEMS = 1000
"""Reading stops after this many bad lines: it must be the wrong file."""


class OriginListChanged(UsageError):
    """The file has changed since it was checked."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.source = source

    def __str__(self) -> str:
        return f"{self.source} was changed while it was read; run the same command again"


class OriginFile:
    """A checked list. Iterating reads it again and yields each URL once.

    Keeps about 25 bytes per line in memory; checking it takes a few times as much.
    """

    def __init__(self, path: Path, first: bytearray) -> None:
        self._path, self._first = path, first

    @classmethod
    def check(cls, path: Path) -> Self:
        """Read the whole file.

        Raises:
            BadOriginList: some lines cannot be used; has the numbers of the first 1000.
        """
        problems: list[tuple[int, str]] = []
        lines, urls, networks = array("Q"), array("Q"), array("Q")
        for number, found in _read(path):
            if isinstance(found, Origin):
                lines.append(number)
                urls.append(network_id(found.url))
                networks.append(found.network)
            else:
                problems.append((number, found))
                if len(problems) == MOST_PROBLEMS:
                    break
        first = bytearray(b"\1") * len(lines)
        order = sorted(range(len(lines)), key=urls.__getitem__)  # stable: the first of equal ones comes first
        chosen = -1
        for index in order:
            if chosen >= 0 and urls[index] == urls[chosen]:
                first[index] = 0
                if networks[index] != networks[chosen]:
                    above = f"line {lines[chosen]} has the same URL, as a fork of something else"
                    problems.append((lines[index], above))
            else:
                chosen = index
        if problems:
            raise BadOriginList(str(path), tuple(sorted(problems)[:MOST_PROBLEMS]))
        return cls(path, first)

    def __len__(self) -> int:
        """Number of distinct origins."""
        return sum(self._first)

    def __iter__(self) -> Iterator[Origin]:
        """The origins in order.

        Raises:
            OriginListChanged: the file has changed since it was checked.
        """
        count = 0
        for _, found in _read(self._path):
            if not isinstance(found, Origin) or count == len(self._first):
                raise OriginListChanged(str(self._path))
            if self._first[count]:
                yield found
            count += 1
        if count < len(self._first):
            raise OriginListChanged(str(self._path))


def _read(path: Path) -> Iterator[tuple[int, Origin | str]]:
    """Number of each non-empty line, and its origin or the problem with it."""
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            try:
                for origin in parse_origin_list(str(path), [line]):
                    yield number, origin
            except BadOriginList as error:
                yield number, error.problems[0][1].encode(errors="backslashreplace").decode()
