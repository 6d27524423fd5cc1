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

FEWEST: Final = 20
"""Different shingles of a text that is compared."""

MOST_BYTES: Final = 1 << 20
"""Size of a text that is compared."""

SIMILAR: Final = 0.8
"""From this similarity on, texts are nearly the same."""

_TOKEN: Final = re.compile(rb"\w+|[^\w\s]")
_MULTIPLIERS, _ADDENDS = np.random.Generator(np.random.PCG64(1)).integers(0, 1 << 31, (2, PLACES, 1), np.uint32) * 2 + 1
"""Each place orders all hashes of 32 bits in its own way: numpy multiplies these twice as fast as longer ones."""

_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_AT_ONCE: Final = 4096
_MOST_KNOWN: Final = 1 << 17
_LONGEST_KNOWN: Final = 64


class _Hashes(dict[bytes, int]):
    """Hashes of words and signs, the same in every process. Few are different, so each short one is hashed once."""

    def __missing__(self, token: bytes) -> int:
        found = int.from_bytes(blake2b(token, digest_size=8).digest(), "little")
        if len(token) <= _LONGEST_KNOWN:
            if len(self) >= _MOST_KNOWN:
                self.clear()
            self[token] = found
        return found


_HASHES = _Hashes()


def shingles(text: bytes) -> npt.NDArray[np.uint64]:
    """Hashes of all runs of ``SHINGLE`` words and signs, whatever space is between them, each once; none of a shorter
    text.
    """
    tokens = np.fromiter(map(_HASHES.__getitem__, _TOKEN.findall(text)), np.uint64)
    runs = len(tokens) - SHINGLE + 1
    if runs < 1:
        return np.empty(0, np.uint64)
    hashes = np.zeros(runs, np.uint64)
    for at in range(SHINGLE):
        hashes = (hashes ^ (hashes >> np.uint64(32))) * _MIX + tokens[at : at + runs]
    return np.unique(hashes)


def signature(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
    """The ``PLACES`` places of a set of shingles, which is not empty."""
    short = (hashes >> np.uint64(32)).astype(np.uint32)
    least = np.full(PLACES, np.iinfo(np.uint32).max, np.uint32)
    for at in range(0, len(short), _AT_ONCE):
        mixed = short[at : at + _AT_ONCE] * _MULTIPLIERS
        mixed += _ADDENDS
        np.minimum(least, mixed.min(axis=1), out=least)
    return least.view(np.int32)


def signature_of(text: bytes) -> npt.NDArray[np.int32] | None:
    """The signature of a text; None if it is too long, or too short to be compared."""
    if len(text) > MOST_BYTES:
        return None
    found = shingles(text)
    return None if len(found) < FEWEST else signature(found)


def bands(places: npt.NDArray[np.int32]) -> list[int]:
    """A number for each band of a signature, equal for equal bands at the same place."""
    numbers = []
    for band in range(BANDS):
        part = places[band * ROWS : (band + 1) * ROWS].astype("<i4").tobytes()
        numbers.append(int.from_bytes(blake2b(bytes([band]) + part, digest_size=8).digest(), "little", signed=True))
    return numbers
