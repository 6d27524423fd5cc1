"""Deletion vectors, read as Iceberg writes them."""

from __future__ import annotations

import random
import struct
import zlib

import numpy as np
import pytest

from pipeline.tables.snapshot.deletion_vectors import parse_vector


def container(low: list[int]) -> tuple[bytes, bool]:
    """The lower halves of some numbers: as runs if that is smaller, otherwise as an array or a bitmap."""
    runs: list[list[int]] = []
    for number in low:
        if runs and number == runs[-1][0] + runs[-1][1] + 1:
            runs[-1][1] += 1
        else:
            runs.append([number, 0])
    if len(runs) * 4 + 2 < min(2 * len(low), 8192):
        return struct.pack(f"<H{2 * len(runs)}H", len(runs), *(part for run in runs for part in run)), True
    if len(low) <= 4096:
        return struct.pack(f"<{len(low)}H", *low), False
    bits = np.zeros(65_536, np.uint8)
    bits[low] = 1
    return np.packbits(bits, bitorder="little").tobytes(), False


def bitmap(numbers: list[int]) -> bytes:
    """A portable Roaring bitmap, by its specification."""
    by_key: dict[int, list[int]] = {}
    for number in numbers:
        by_key.setdefault(number >> 16, []).append(number & 0xFFFF)
    made = [(key, low, *container(low)) for key, low in sorted(by_key.items())]
    heads = b"".join(struct.pack("<HH", key, len(low) - 1) for key, low, _, _ in made)
    if any(is_run for *_, is_run in made):
        flags = bytearray((len(made) + 7) // 8)
        for index, (*_, is_run) in enumerate(made):
            flags[index // 8] |= is_run << (index % 8)
        head = struct.pack("<I", 12347 | (len(made) - 1) << 16) + bytes(flags) + heads
        offsets = len(made) >= 4
    else:
        head = struct.pack("<II", 12346, len(made)) + heads
        offsets = True
    body = b"".join(data for _, _, data, _ in made)
    return head + (bytes(4 * len(made)) if offsets else b"") + body


def vector(numbers: list[int]) -> bytes:
    by_key: dict[int, list[int]] = {}
    for number in numbers:
        by_key.setdefault(number >> 32, []).append(number & 0xFFFFFFFF)
    parts = [struct.pack("<I", key) + bitmap(low) for key, low in sorted(by_key.items())]
    body = b"\xd1\xd3\x39\x64" + struct.pack("<Q", len(parts)) + b"".join(parts)
    return struct.pack(">I", len(body)) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize(
    "numbers",
    [
        [],
        [0],
        [0, 65_535, 65_536, 1 << 32, (1 << 40) + 7],
        list(range(70_000)),
        list(range(0, 60_000, 3)),
        sorted(random.Random(1).sample(range(1 << 34), 3_000)),
        [*range(10), *range(100_000, 100_300), *range(200_000, 260_000, 2), 300_000, 400_001],
    ],
    ids=["none", "one", "far", "runs", "bitmap", "random", "mixed"],
)
def test_all_kinds_of_containers(numbers: list[int]) -> None:
    assert parse_vector(vector(numbers)).tolist() == numbers


def test_damage_is_not_read_as_a_vector() -> None:
    whole = bytearray(vector([1, 2, 3]))
    for at in range(4, len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        with pytest.raises((ValueError, struct.error)):
            parse_vector(bytes(damaged))
