"""Paths by the rules of Linguist."""

from __future__ import annotations

import re

import pytest

from pipeline.read.export.vendored import vendored_paths

VENDORED = ["node_modules/a.js", "a/vendor/b.go", "third_party/x.c", "js/jquery-3.6.1.min.js", "Godeps/_workspace/a.go",
            "types/index.d.ts", "gradlew", "a/dist/b.js"]  # fmt: skip
OWN = ["src/a.py", "vendored.py", "src/distance.py", "jq.js", "a/min.js", "docs/index.md", "src/configure.c"]


@pytest.mark.parametrize(("path", "vendored"), [*((p, True) for p in VENDORED), *((p, False) for p in OWN)])
def test_a_path(path: str, vendored: bool) -> None:
    assert (re.search(vendored_paths(), path) is not None) == vendored


def test_all_rules_are_read() -> None:
    assert vendored_paths().count("|(?:") == 167
