"""Sentences that explain figures have the figures of the same run."""

from __future__ import annotations

from dataclasses import replace

from cluster import reasons, report
from cluster.outcome import CRAWL, JOIN_FILES, JVM_SCAN, Outcome
from cluster.schedule import LONG_S, SHORT_S
from pipeline.rules.partitioning import MOST_TASKS


def row(text: str, stage: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {stage}"))


def test_every_stage_says_how_long_its_tasks_are_and_why_they_break_the_rule(found: Outcome) -> None:
    text = reasons.size_table(found)
    for name, stage in found.stages.items():
        cells = row(text, f"{name} |").strip("| ").split(" | ")
        assert cells[2].strip("*") == report.duration(stage.sizes.shortest_s)
        assert cells[4] == report.duration(stage.longest_s)
        assert cells[3].startswith("**") == (not SHORT_S <= stage.sizes.mean_s <= LONG_S)
        assert stage.sizes.shortest_s <= stage.sizes.mean_s <= stage.longest_s
        assert len(cells) == 7


def test_too_many_tasks_are_shown(found: Outcome) -> None:
    scan = replace(found.stages[JVM_SCAN], tasks=MOST_TASKS + 1)
    many = replace(found, stages={**found.stages, JVM_SCAN: scan})
    assert f"**{MOST_TASKS + 1:,}**" in row(reasons.size_table(many), JVM_SCAN)
    assert f"**{found.stages[JVM_SCAN].tasks:,}**" not in row(reasons.size_table(found), JVM_SCAN)


def test_only_stages_over_their_bounds_are_explained(found: Outcome) -> None:
    text = reasons.bound_table(found)
    explained = {name for name, stage in found.stages.items() if stage.over_bound > report.MOST_OVER_BOUND}
    assert explained
    assert len(text.splitlines()) == 2 + len(explained)
    assert report.duration(found.stages[CRAWL].longest_s) in row(text, CRAWL)
    assert f"{found.people.buckets} tasks" in row(text, JOIN_FILES)
