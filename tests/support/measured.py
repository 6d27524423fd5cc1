"""Parts of the two programs that measure, of which a day tries one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.sample import chosen

BENCH = ("fetch", "store", "big", "pages", "memory", "nights", "forks", "scan", "restore", "questions")
SCALE = ("dense", "growth", "nights", "visits", "skew")


def bench_parts() -> list[Any]:
    """The parts of ``scripts/bench`` as parameters, those of another day marked."""
    return _marked("bench", BENCH)


def scale_parts() -> list[Any]:
    """The same of ``scripts/scale``."""
    return _marked("scale", SCALE)


def _marked(program: str, parts: tuple[str, ...]) -> list[Any]:
    today = chosen([f"bench {part}" for part in BENCH] + [f"scale {part}" for part in SCALE])
    return [part if f"{program} {part}" in today else pytest.param(part, marks=pytest.mark.long) for part in parts]
