"""The notebook of docs runs from top to bottom on a small archive, and draws its plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from pyspark.sql import SparkSession

from pipeline.storage.interface import Storage
from tests.night.test_nights import URL, finish
from tests.read.test_stored_archive import describe
from tests.tables.conftest import add, night
from tests.tables.landing import MadeLoad, Tree

NOTEBOOK = Path(__file__).parents[2] / "docs" / "looking.ipynb"
MONTH_S = 31 * 24 * 3600


def cells(kind: str) -> list[dict[str, Any]]:
    found = json.loads(NOTEBOOK.read_text())
    assert (found["nbformat"], found["metadata"]["language_info"]["name"]) == (4, "python")
    return [cell for cell in found["cells"] if cell["cell_type"] == kind]


def grow(spark: SparkSession, storage: Storage) -> None:
    """Five commits, a month apart, each of which adds a line to a program."""
    (origin,) = add(spark, URL)
    load = MadeLoad(storage, night(2), "run2")
    lines = [b"line %d\n" % number for number in range(5)]
    commits: list[bytes] = []
    for number in range(5):
        tree: Tree = {b"a.py": b"".join(lines[: number + 1]), b"README.md": b"Read.\n", b"x": {b"b.c": b"int x;\n"}}
        at = 1_600_000_000 + number * MONTH_S
        commits.append(load.commit(origin.network, load.tree(origin.network, tree), *commits[-1:], at=at))
    load.push(origin, commits[-1])
    finish(spark, storage, load)


@pytest.mark.slow
def test_it_runs_and_draws(
    spark: SparkSession, storage: Storage, spark_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(spark, storage)
    describe(storage)
    mpl.use("agg")
    from matplotlib import pyplot as plt

    names: dict[str, Any] = {}
    try:
        for cell in cells("code"):
            code = "".join(cell["source"]).replace('open("archive"', f"open({str(spark_root)!r}")
            exec(compile(code, f"cell {cell['id']} of {NOTEBOOK.name}", "exec"), names)
        drawn = [plt.figure(number).axes for number in plt.get_fignums()]
    finally:
        plt.close("all")
    assert len(drawn) == 6
    assert all(panel.has_data() for panels in drawn for panel in panels)
    assert all(panels[0].get_title() for panels in drawn)
    assert names["by_month"].commits.tolist() == [1, 1, 1, 1, 1]
    assert names["churn"].added.tolist() == [1, 1, 1, 1, 1]
    assert names["lines"].commit.tolist() == names["history"].commit.tolist()[::-1]


def test_it_is_kept_without_output() -> None:
    assert [cell["id"] for cell in cells("code") if cell["outputs"] or cell["execution_count"] is not None] == []
    assert len(cells("markdown")) > 3
