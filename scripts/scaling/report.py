"""Steps as tables for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.measure import MB
from pipeline.cli.output import Output
from scaling.steps import Step
from scaling.watch import Kind, Watched

STAGES = ("plan", "fetch", "publish", "derive", "seal", "nightly", "besides")


def show(title: str, steps: Sequence[Step]) -> None:
    """Print three tables: cost and memory, CPU seconds by stage, and what was written."""
    output = Output("text")
    kinds = [kind for kind in Kind if any(kind in step.took.peak_bytes for step in steps)]
    output.table(
        f"{title}: cost and peak memory of the largest process, MB",
        ["step", "CPU-s", "of fetch tasks", "s", *kinds],
        [(s.name, *_times(s.took), *(_mb(s.took.peak_bytes.get(kind)) for kind in kinds)) for s in steps],
    )
    staged = [step for step in steps if step.took.cpu_by_stage]
    if staged:
        stages = [stage for stage in STAGES if any(stage in step.took.cpu_by_stage for step in staged)]
        rows = [(s.name, *(f"{s.took.cpu_by_stage.get(stage, 0):.1f}" for stage in stages)) for s in staged]
        output.table(f"{title}: CPU-s by stage", ["step", *stages], rows)
    written = [
        (s.name, table, f"{a.rows:,}", f"{a.size_bytes / MB:,.3f}", f"{a.files:,}")
        for s in steps
        for table, a in s.written.items()
    ]
    output.table(f"{title}: written", ["step", "table", "rows", "MB", "files"], written)


def as_json(steps: Mapping[str, Sequence[Step]], circumstances: Mapping[str, str]) -> dict[str, Any]:
    """All of it, by archive."""
    found = {title: [_plain(step) for step in some] for title, some in steps.items()}
    return {"circumstances": dict(circumstances), "steps": found}


def _plain(step: Step) -> dict[str, Any]:
    took = asdict(step.took)
    del took["output"]
    return {"name": step.name, **took, "written": {table: asdict(each) for table, each in step.written.items()}}


def _times(took: Watched) -> tuple[str, ...]:
    return tuple(f"{seconds:.1f}" for seconds in (took.cpu_s, took.fetch_cpu_s, took.wall_s))


def _mb(size_bytes: int | None) -> str:
    return "" if size_bytes is None else f"{size_bytes / MB:,.0f}"
