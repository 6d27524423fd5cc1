"""Stored bytes of a row of the tables that have one per origin, visit or blob at HEAD: of rows that are made up.

Names are of two words of a list, which is a guess; ids, times and sizes are as random as real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.random import Generator

from pipeline.fetch.parquet import ZSTD_LEVEL
from pipeline.model.tables import HEAD_BLOBS, ORIGINS, REPOSITORIES, VISITS, Table

ROWS = 20_000
WORDS = 5_000
NIGHT_US = 8 * 3600 * 10**6
_BEGINS_US = 1_790_000_000 * 10**6
_DAY = 20_700

Values = list[Any]


@lru_cache
def row_bytes(table: Table) -> float:
    """Stored bytes of a row, as zstd makes them."""
    random = np.random.default_rng(1)
    given = _GIVEN[table.name](random)
    network = np.sort(random.integers(-(2**63), 2**63, ROWS)).tolist()
    columns = {"bucket": [7] * ROWS, "network": network, **given}
    rows = pa.table({name: columns.get(name, [None] * ROWS) for name in table.column_names}, table.arrow_schema)
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", compression_level=ZSTD_LEVEL)
    return float(sink.getvalue().size) / ROWS


def _words(random: Generator) -> Values:
    return [f"{word:x}" for word in random.integers(2**24, 2**32, WORDS)]


def _names(random: Generator) -> Values:
    words = _words(random)
    return [f"{words[one]}-{words[two]}" for one, two in random.integers(0, WORDS, (ROWS, 2))]


def _urls(random: Generator) -> Values:
    return [f"https://github.com/{owner}/{name}" for owner, name in zip(_names(random), _names(random), strict=True)]


def _ids(random: Generator) -> Values:
    return [random.bytes(20) for _ in range(ROWS)]


def _times(random: Generator, within_us: int) -> Values:
    return [*(_BEGINS_US - random.integers(0, within_us, ROWS)).tolist()]


def _numbers(random: Generator, median: float) -> Values:
    return [*np.exp(np.log(median) + 2 * random.standard_normal(ROWS)).astype(int).tolist()]


def _same(value: object) -> Values:
    return [value] * ROWS


def _origins(random: Generator) -> dict[str, Values]:
    return {
        "url": _urls(random), "state": _same("active"), "added_at": _same(_BEGINS_US), "next_due": _same(_DAY),
        "last_visit": _times(random, NIGHT_US), "last_status": _same("unchanged"), "failures": _same(0),
        "changes": random.exponential(1, ROWS).tolist(), "silent": random.exponential(1, ROWS).tolist(),
        "watched": random.integers(1, 90, ROWS).astype(float).tolist(),
        "objects": [float(n) for n in _numbers(random, 12)], "newest_commit": _times(random, 4_000 * NIGHT_US),
        "commit_days": _numbers(random, 10),
    }  # fmt: skip


def _visits(random: Generator) -> dict[str, Values]:
    return {
        "origin": _urls(random), "night": _same(_DAY), "run_id": _same("run"), "status": _same("unchanged"),
        "started_at": _times(random, NIGHT_US), "duration_s": random.exponential(0.5, ROWS).round(3).tolist(),
        "pack_bytes": _same(0), "objects": _same(0), "commit_days": _same(0),
    }  # fmt: skip


def _repositories(random: Generator) -> dict[str, Values]:
    return {
        "origin": _urls(random), "night": _same(_DAY), "head_ref": _same("refs/heads/main"),
        "head_commit": _ids(random), "head_time": _times(random, 4_000 * NIGHT_US), "branches": _numbers(random, 2),
        "tags": _numbers(random, 1), "files": _numbers(random, 20), "bytes": _numbers(random, 1e5),
        "language": _same("Python"), "tree": _ids(random),
    }  # fmt: skip


def _head_blobs(random: Generator) -> dict[str, Values]:
    return {
        "oid": _ids(random), "name": _names(random), "ext": _same("py"), "size": _numbers(random, 4096),
        "is_binary": _same(False), "language": _same("Python"), "lines": _numbers(random, 100),
        "is_generated": _same(False),
    }  # fmt: skip


_GIVEN: Mapping[str, Callable[[Generator], dict[str, Values]]] = {
    ORIGINS.name: _origins,
    VISITS.name: _visits,
    REPOSITORIES.name: _repositories,
    HEAD_BLOBS.name: _head_blobs,
}
