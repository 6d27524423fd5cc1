"""``python -m tests.bench.launcher ARGUMENTS``: ``scripts/bench``, where nearly all that needs Spark shares one.

What it measures of Spark is nonsense then. Fetch tasks and one whole night have processes of their own as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from benchmarks import bench as shared
from benchmarks.__main__ import bench
from benchmarks.parts import big, memory, nights, scan, store
from pipeline.tables.session import open_session
from pipeline.tables.settings import SparkSettings
from tests.support.spark import QUICK_SPARK, UNCOMPILED

P = ParamSpec("P")
T = TypeVar("T")


def here(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return work(*args, **kwargs)


if __name__ == "__main__":
    for module in (shared, big, memory, nights, scan, store):
        module.in_child = here
    big.WARM = scan.WARM = 1
    open_session(SparkSettings(**QUICK_SPARK, conf=UNCOMPILED), "file:///nowhere", "bench")
    bench()
