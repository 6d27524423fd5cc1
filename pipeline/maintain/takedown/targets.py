"""Targets of a takedown: origins by URL, objects by id."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.model.errors import UsageError
from pipeline.model.origin import check_url
from pipeline.model.pattern import read_column

_OID = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Target:
    """An origin's URL as stored, or an object's 20-byte id."""

    url: str | None = None
    oid: bytes | None = None

    def __str__(self) -> str:
        return self.url if self.url is not None else (self.oid or b"").hex()


class BadTargets(UsageError):
    """Some targets cannot be taken down; ``problems`` has their places in the source and the reasons."""

    def __init__(self, source: str, problems: tuple[tuple[str, str], ...]) -> None:
        super().__init__(source, problems)
        self.source, self.problems = source, problems

    def __str__(self) -> str:
        lines = "".join(f"\n  {where}: {why}" for where, why in self.problems)
        return f"{self.source}: nothing was taken down:{lines}"


def parse_target(text: str) -> Target:
    """Read an id of 40 hexadecimal digits or a URL.

    Raises:
        UsageError: the text is neither.
    """
    if _OID.fullmatch(text.lower()):
        return Target(oid=bytes.fromhex(text))
    if "://" not in text:
        raise UsageError("this is neither a URL such as https://host/path nor an id of 40 hexadecimal digits")
    return Target(url=check_url(text))


def parse_targets(source: str, lines: Iterable[str]) -> list[Target]:
    """Read a list, one target per line; blank lines and comments are skipped as in lists of origins.

    Raises:
        BadTargets: a line is bad; reports all bad lines.
    """
    found, problems = read_column(lines, parse_target)
    if problems:
        raise BadTargets(source, tuple((f"line {number}", why) for number, why in problems))
    return found
