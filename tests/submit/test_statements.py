"""Where one statement ends and the next begins."""

from __future__ import annotations

import pytest

from pipeline.read.submit.statements import split_statements


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("SELECT 1", ["SELECT 1"]),
        (" SELECT 1 ;\n\nSELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';' AS `a;b`, \";\"; SELECT 2", ["SELECT ';' AS `a;b`, \";\"", "SELECT 2"]),
        ("SELECT 1 -- one; two\n; /* three; */ SELECT 4", ["SELECT 1 -- one; two", "/* three; */ SELECT 4"]),
        ("SELECT 'it\\'s; '; SELECT 'é;日'; SELECT 3", ["SELECT 'it\\'s; '", "SELECT 'é;日'", "SELECT 3"]),
        ("", []),
        (" ;; -- nothing\n;", []),
        ("SELECT 'open; SELECT 2", ["SELECT 'open; SELECT 2"]),
        ("SELEKT ;", ["SELEKT"]),
    ],
)
def test_statements_are_cut_at_semicolons_that_separate(text: str, statements: list[str]) -> None:
    assert split_statements(text) == statements
