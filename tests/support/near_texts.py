"""Texts that are nearly the same, and how similar they are exactly."""

from __future__ import annotations

import random
import re


def jaccard(one: bytes, other: bytes) -> float:
    """The similarity of the runs of five words and signs, compared as they are."""
    left, right = _runs(one), _runs(other)
    return len(left & right) / len(left | right)


def _runs(text: bytes) -> set[tuple[bytes, ...]]:
    tokens = re.findall(rb"\w+|[^\w\s]", text)
    return {tuple(tokens[at : at + 5]) for at in range(len(tokens) - 4)}


def words(chance: random.Random, count: int = 400) -> list[bytes]:
    """Words that no other text has."""
    return [b"%06x" % chance.getrandbits(24) for _ in range(count)]


def changed(text: list[bytes], count: int, chance: random.Random) -> list[bytes]:
    """The words with some of them replaced."""
    found = text[:]
    for at in chance.sample(range(len(text)), count):
        found[at] = b"%06x" % chance.getrandbits(24)
    return found


def families() -> dict[bytes, bytes]:
    """Five families of texts: each with copies in which 0 to 39 of 400 words were changed."""
    chance = random.Random(11)
    found = {}
    for family in range(5):
        own = words(chance)
        for copy in range(12):
            mine = changed(own, chance.choice((0, 1, 2, 4, 8, 20, 39)), chance)
            found[b"%d-%02d" % (family, copy)] = (b" " if copy % 2 else b"\n\t").join(mine)
    return found
