"""What a core does in a second: measured, from docs/benchmarks.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.results import Part, read

MB = 1_000_000

RESTORED_ON = 2
"""Cores of the machine on which restores are measured."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates per core and second.

    Attributes:
        fetched_objects, fetched_raw_bytes: of a fetch task, small repositories and a long history.
        unchanged_s: CPU seconds of a visit that finds nothing new.
        jvm_bytes, python_bytes: raw bytes of a scan of contents.
        compacted_raw_bytes: raw bytes of a compaction.
        landed_of_pack: stored bytes when landed, per byte of pack.
        compacted_of_landed: stored bytes after compaction, per byte landed.
        restored_raw_bytes: raw bytes of a restore of a long history, as far as processes share the work.
        restored_alone_raw_bytes: the same of what one process does meanwhile: the rest of the time that was measured.
        restored_of_pack: bytes of a restored pack, per byte as served.
        load_s: seconds of a load besides its fetch tasks, when it brings little.
    """

    fetched_objects: float
    fetched_raw_bytes: float
    unchanged_s: float
    jvm_bytes: float
    python_bytes: float
    compacted_raw_bytes: float
    landed_of_pack: float
    compacted_of_landed: float
    restored_raw_bytes: float
    restored_alone_raw_bytes: float
    restored_of_pack: float
    load_s: float

    @classmethod
    def measured(cls, path: Path) -> Rates:
        """The rates of the last benchmarks.

        Raises:
            KeyError: a benchmark that the model needs was not measured; run scripts/bench.
        """
        parts = read(path)
        history, stored = _rows(parts, "big", "A long history"), _rows(parts, "big", "Stored, in bytes")
        small = _rows(parts, "store", "Stored, in bytes") + stored
        restored = next(row for row in _rows(parts, "restore", "Restore") if str(row["repository"]) == "long")
        raw, cpu_s = restored["raw MB"] * MB, restored["restore CPU-s"]
        alone_s = max(RESTORED_ON * restored["restore s"] - cpu_s, 0.0) / (RESTORED_ON - 1)
        return cls(
            fetched_objects=median(_figures(parts, "fetch")),
            fetched_raw_bytes=_figures(parts, "fetch-big")[0] * MB,
            unchanged_s=_figures(parts, "unchanged")[0] / 1000,
            jvm_bytes=_figures(parts, "scan-jvm")[0] * MB,
            python_bytes=_figures(parts, "scan-arrow")[0] * MB,
            compacted_raw_bytes=history[0]["raw MB"] * MB / stored[0]["compact CPU-s"],
            landed_of_pack=_ratio(small, "base tables after the first night", "pack as served"),
            compacted_of_landed=_ratio(small, "base tables compacted", "base tables after the first night"),
            restored_raw_bytes=raw / (cpu_s - alone_s),
            restored_alone_raw_bytes=raw / alone_s if alone_s else math.inf,
            restored_of_pack=restored["pack restored"] / restored["pack as served"],
            load_s=_seconds(parts, "nothing new, the rest of the night"),
        )


def _figures(parts: Mapping[str, Part], target: str) -> list[float]:
    found = [figure.value for part in parts.values() for figure in part.found.figures if figure.target == target]
    if not found:
        raise KeyError(f"docs/benchmarks.json has no figure of {target}; run scripts/bench")
    return found


def _rows(parts: Mapping[str, Part], part: str, title: str) -> list[dict[str, float]]:
    for table in parts[part].found.tables:
        if table.title == title:
            return [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    raise KeyError(f"docs/benchmarks.json has no table {title!r}; run scripts/bench")


def _ratio(rows: list[dict[str, float]], of: str, to: str) -> float:
    return sum(row[of] for row in rows) / sum(row[to] for row in rows)


def _seconds(parts: Mapping[str, Part], night: str) -> float:
    rows = _rows(parts, "nights", "Nights, Spark's start included")
    return next(row["s"] for row in rows if str(row["night"]) == night)
