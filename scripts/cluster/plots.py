"""Makespans against threads and against the archive's size, as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "cluster"  # the same figures make the same file

from matplotlib import pyplot as plt  # noqa: E402

from cluster.outcome import Outcome  # noqa: E402


def plot(path: Path, axis: str, outcomes: Mapping[int, Outcome] | Mapping[float, Outcome]) -> None:
    """One panel per stage: makespan as a line, lower bound dashed; both axes logarithmic."""
    names = list(next(iter(outcomes.values())).stages)
    figure, panels = plt.subplots(2, -(-len(names) // 2), figsize=(13, 6), sharex=True, layout="constrained")
    for panel, name in zip(panels.flat, names, strict=False):
        stages = [each.stages[name] for each in outcomes.values()]
        panel.loglog(list(outcomes), [stage.makespan_s for stage in stages], "o-", label="makespan")
        panel.loglog(list(outcomes), [stage.bound_s for stage in stages], "s--", label="lower bound")
        panel.set_title(name, fontsize=10)
        panel.grid(visible=True, which="major", alpha=0.4)
    for panel in panels[-1]:
        panel.set_xlabel(axis)
    for panel in panels[:, 0]:
        panel.set_ylabel("seconds")
    panels.flat[0].legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
