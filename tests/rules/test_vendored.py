"""Paths by the rules of Linguist."""

from __future__ import annotations

import random
import re
from importlib.resources import files

import pytest

from pipeline.rules.vendored import is_vendored

VENDORED = ["node_modules/a.js", "a/vendor/b.go", "third_party/x.c", "js/jquery-3.6.1.min.js", "Godeps/_workspace/a.go",
            "types/index.d.ts", "gradlew", "a/dist/b.js"]  # fmt: skip
OWN = ["src/a.py", "vendored.py", "src/distance.py", "jq.js", "a/min.js", "docs/index.md", "src/configure.c"]


@pytest.mark.parametrize(("path", "vendored"), [*((p, True) for p in VENDORED), *((p, False) for p in OWN)])
def test_a_path(path: str, vendored: bool) -> None:
    assert is_vendored(path) == vendored


def test_each_rule_alone_finds_what_all_find_together() -> None:
    text = files("pipeline.rules").joinpath("vendored.txt").read_text()
    rules = [re.compile(line) for line in text.splitlines() if line and not line.startswith("#")]
    assert len(rules) == 168
    words = "a vendor dist jquery -1.2 .min .js .css / / extjs d3 .v4 import .d.ts Third-Party bootstrap cache yui"
    parts = [*words.split(), " "]
    chance = random.Random(2)
    paths = ["".join(chance.choices(parts, k=chance.randrange(1, 8))) for _ in range(600)]
    assert [path for path in paths if is_vendored(path) != any(rule.search(path) for rule in rules)] == []
    assert 30 < sum(map(is_vendored, paths)) < 500


@pytest.mark.parametrize("path", ["a." * 50_000, " " * 50_000, "a/" * 50_000, "/extjs/" * 10_000 + "x"])
@pytest.mark.timeout(60)
def test_no_path_stalls_it(path: str) -> None:
    assert not is_vendored(path)
