"""Which files programs wrote: lock files, compiled and minified code, exports of tools."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

LOOKED_AT_BYTES: Final = 64 << 10
"""Bytes at each end of a file whose lines are looked at."""

LONGEST_LINE: Final = 512
"""Bytes at the start of a line that are looked at, so that no line can stall the expressions."""

LONG_LINES: Final = 110
"""Bytes of an average line above which scripts and style sheets are minified."""

_MINIFIED: Final = frozenset({"js", "css"})


class _Rule(NamedTuple):
    """An expression for some lines of a file.

    Attributes:
        lines: their numbers from 0, from the end if negative.
        joined: whether it is found in these lines joined, not in one of them.
    """

    lines: slice
    joined: bool
    found: re.Pattern[bytes]


def is_generated(path: str, content: bytes) -> bool:
    """Whether a program wrote the file, by its path or name and by marks in its content.

    The rules are those of GitHub Linguist that a path, a line or the average length of lines decides; the file beside
    this module says of which version. Takes bounded time, whatever the bytes.
    """
    paths, by_ending = _rules()
    if paths.search(path):
        return True
    ending = path.rpartition("/")[2].rpartition(".")[2].lower()
    if ending in _MINIFIED and _is_minified(content):
        return True
    rules = by_ending.get(ending)
    return rules is not None and _is_marked(rules, content)


def _is_minified(content: bytes) -> bool:
    lines = content.count(b"\n") + 1
    return (len(content) - lines + 1) // lines > LONG_LINES


def _is_marked(rules: Sequence[_Rule], content: bytes) -> bool:
    start = content[:LOOKED_AT_BYTES].split(b"\n")
    end = start if len(content) <= LOOKED_AT_BYTES else content[-LOOKED_AT_BYTES:].split(b"\n")
    for rule in rules:
        lines = [line[:LONGEST_LINE] for line in (end if rule.lines.stop is None else start)[rule.lines]]
        if any(map(rule.found.search, [b" ".join(lines)] if rule.joined else lines)):
            return True
    return False


@cache
def _rules() -> tuple[re.Pattern[str], dict[str, list[_Rule]]]:
    """The expression for paths, and the rules for lines by the ending of the name."""
    paths: list[str] = []
    by_ending: dict[str, list[_Rule]] = defaultdict(list)
    for line in files("pipeline.rules").joinpath("generated.txt").read_text("utf-8").splitlines():
        if line.startswith("path "):
            paths.append(f"(?:{line.removeprefix('path ')})")
        elif line and not line.startswith("#"):
            endings, which, number, expression = line.split(" ", 3)
            rule = _Rule(_lines(which, int(number)), which == "joined", re.compile(expression.encode()))
            for ending in endings.split(","):
                by_ending[ending].append(rule)
    return re.compile("|".join(paths)), dict(by_ending)


def _lines(which: str, number: int) -> slice:
    if which == "last":
        return slice(-number, None)
    return slice(number - 1 if which == "line" else 0, number)
