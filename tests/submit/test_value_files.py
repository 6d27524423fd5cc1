"""Rows of plain values as JSON and CSV."""

from __future__ import annotations

import io
import json

from pipeline.read.submit.value_files import write_csv_values, write_json_values


def test_csv_tells_null_from_empty_text() -> None:
    to = io.BytesIO()
    rows = [(None, ""), ("", None), ('a "b", c', "d\ne"), (1.5, [None, "x"])]
    assert write_csv_values(["a", "b"], rows, to, lambda value: value) == 4
    assert to.getvalue().decode() == 'a,b\n,""\n"",\n"a ""b"", c","d\ne"\n1.5,"[null, ""x""]"\n'


def test_a_single_column_has_no_empty_line() -> None:
    to = io.BytesIO()
    assert write_csv_values(["a"], [(None,), ("",)], to, lambda value: value) == 2
    assert to.getvalue() == b'a\n""\n""\n'


def test_json_is_one_array_with_a_row_per_line() -> None:
    to = io.BytesIO()
    assert write_json_values(["a"], [(1,), (None,)], to, lambda value: value) == 2
    assert to.getvalue() == b'[\n{"a": 1},\n{"a": null}\n]\n'
    none = io.BytesIO()
    assert write_json_values(["a"], [], none, lambda value: value) == 0
    assert json.loads(none.getvalue()) == []
