"""The index of a pack, as in git's ``gitformat-pack`` manual page: version 2, all of it at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import numpy as np

from pipeline.model.links import OID_BYTES

_BEGIN: Final = b"\377tOc\0\0\0\2"
_FAR: Final = 1 << 31
"""Offsets from here on are in a table of their own."""


def pack_index(places: Mapping[bytes, int], pack_sum: bytes) -> bytes:
    """The index.

    Args:
        places: offset << 32 | CRC-32 of each object by its id.
        pack_sum: the checksum at the pack's end.
    """
    ids = sorted(places)
    joined = b"".join(ids)
    firsts = np.frombuffer(joined, np.uint8)[::OID_BYTES]
    offsets = np.fromiter((places[oid] >> 32 for oid in ids), np.int64, len(ids))
    sums = np.fromiter((places[oid] & 0xFFFFFFFF for oid in ids), np.int64, len(ids))
    far = offsets >= _FAR
    near = np.where(far, _FAR + far.cumsum() - 1, offsets)
    numbers = (np.bincount(firsts, minlength=256).cumsum(), sums, near)
    fan_out, sums_4, near_4 = (values.astype(">u4").tobytes() for values in numbers)
    index = b"".join((_BEGIN, fan_out, joined, sums_4, near_4, offsets[far].astype(">u8").tobytes(), pack_sum))
    return index + hashlib.sha1(index, usedforsecurity=False).digest()
