"""MinHash signatures of texts: the share of equal places of two estimates the Jaccard similarity of their shingles."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

BANDS: Final = 21
ROWS: Final = 6
"""Places of a band. Two texts share a whole band with a probability of 0.998 if their similarity is 0.8, and of 0.28 if
it is 0.5."""

PLACES: Final = BANDS * ROWS
SHINGLE: Final = 5
"""Words and signs that follow each other."""

_TOKEN: Final = re.compile(rb"\w+|[^\w\s]")
_MULTIPLIERS, _ADDENDS = np.random.Generator(np.random.PCG64(1)).integers(0, 1 << 63, (2, PLACES, 1), np.uint64) * 2 + 1
_AT_ONCE: Final = 1024


def shingles(text: bytes) -> set[bytes]:
    """All runs of ``SHINGLE`` words and signs, whatever space is between them; none of a shorter text."""
    tokens = _TOKEN.findall(text)
    return {b" ".join(tokens[at : at + SHINGLE]) for at in range(len(tokens) - SHINGLE + 1)}


def signature(some: set[bytes]) -> npt.NDArray[np.uint32]:
    """The ``PLACES`` places of a set of shingles, which is not empty; the same in every process."""
    hashes = np.frombuffer(b"".join(blake2b(each, digest_size=8).digest() for each in some), np.uint64)
    least = np.full(PLACES, np.iinfo(np.uint64).max, np.uint64)
    for at in range(0, len(hashes), _AT_ONCE):
        mixed = hashes[at : at + _AT_ONCE] * _MULTIPLIERS + _ADDENDS
        least = np.minimum(least, mixed.min(axis=1))
    return (least >> np.uint64(32)).astype(np.uint32)


def bands(places: npt.NDArray[np.uint32]) -> list[int]:
    """A number for each band of a signature, equal for equal bands at the same place."""
    numbers = []
    for band in range(BANDS):
        part = places[band * ROWS : (band + 1) * ROWS].astype("<u4").tobytes()
        numbers.append(int.from_bytes(blake2b(bytes([band]) + part, digest_size=8).digest(), "little", signed=True))
    return numbers
