"""docs/threats.md promises nothing without a test: each row names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "threats.md").read_text()
PROMISES = [
    (promise.strip(), re.findall(r"`(tests/[^`]+)::([^`]+)`", shown))
    for promise, shown in re.findall(r"^\| (.+?) \| (.*) \|$", PAGE.partition("## Promises")[2], re.MULTILINE)
    if promise.strip() not in ("promise", "---")
]


@pytest.mark.parametrize(("promise", "tests"), PROMISES, ids=[promise for promise, _ in PROMISES])
def test_a_promise_is_shown_by_tests_that_exist(promise: str, tests: list[tuple[str, str]]) -> None:
    assert tests, "a promise without a test"
    for path, name in tests:
        module = ast.parse((ROOT / path).read_text())
        assert name in {node.name for node in ast.walk(module) if isinstance(node, ast.FunctionDef)}, f"{path}::{name}"


def test_there_are_promises() -> None:
    assert len(PROMISES) > 25
