"""Verdicts, and the document that contains them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import report, results
from benchmarks.results import Figure, Found, Part, Table
from benchmarks.targets import TARGETS, Target

SPEED = Target("speed", 100, 150, "MB/s")
SIZE = Target("size", 0.95, 0.75, "x")

PART = Part(
    {"date": "today"},
    Found(
        (Figure("stored", "one", 0.4, "4 of 10"), Figure("stored", "two", 0.9)),
        (Table("Sizes", ("repository", "bytes"), (("one", 1234), ("two", 0.5))),),
    ),
)


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (SPEED, 151, "aim met"),
        (SPEED, 100, "met"),
        (SPEED, 50, "missed by 2.00x"),
        (SPEED, 0, "missed by infx"),
        (SIZE, 0.75, "aim met"),
        (SIZE, 0.9, "met"),
        (SIZE, 1.9, "missed by 2.00x"),
        (TARGETS["unchanged-pack"], 0, "aim met"),
        (TARGETS["compacted-cpu"], 1, "aim met"),
    ],
)
def test_verdicts(target: Target, value: float, verdict: str) -> None:
    assert target.verdict(value) == verdict


def test_the_worst_figure_decides() -> None:
    rows = report.target_rows({"store": PART})
    (row,) = [row for row in rows if "**" in row[3]]
    assert row[3:] == ("one **0.4** (4 of 10); two **0.9**", "missed by 1.20x")
    assert len(rows) == len(TARGETS)


def test_what_people_wrote_around_the_tables_stays(tmp_path: Path) -> None:
    path = tmp_path / "BENCHMARKS.md"
    path.write_text(f"# Before\n\n{report.BEGIN}\nold\n{report.END}\n\nAfter\n")
    report.fill(path, {"store": PART})
    report.fill(path, {"store": PART})
    text = path.read_text()
    assert text.startswith(f"# Before\n\n{report.BEGIN}\n\n## Targets\n")
    assert text.endswith(f"\n{report.END}\n\nAfter\n")
    assert "| one | 1,234 |\n| two | 0.5 |\n" in text
    assert text.count("### Sizes") == 1
    assert "old" not in text


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.json"
    assert results.read(path) == {}
    results.write(path, {"store": PART})
    assert results.read(path) == {"store": PART}
