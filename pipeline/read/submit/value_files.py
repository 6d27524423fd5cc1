"""Rows of plain values in files: a JSON array or CSV."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any

Plain = Callable[[object], object]
"""Turns a value into what JSON has a word for."""

_QUOTED = re.compile(r'[",\r\n]')


def write_json_values(names: Sequence[str], rows: Iterable[Sequence[Any]], to: IO[bytes], plain: Plain) -> int:
    """Write one JSON array, a row per line; return the number of rows."""
    count = 0
    to.write(b"[")
    for row in rows:
        value = plain(dict(zip(names, row, strict=True)))
        to.write((",\n" if count else "\n").encode() + json.dumps(value).encode())
        count += 1
    to.write(b"\n]\n" if count else b"]\n")
    return count


def write_csv_values(names: Sequence[str], rows: Iterable[Sequence[Any]], to: IO[bytes], plain: Plain) -> int:
    """Write a header and a line per row; return the number of rows. Nested values are JSON.

    Null is an empty cell, and empty text is ``""``. In a single column both are: many readers skip an empty line. (The
    library does not tell them apart before Python 3.12.)
    """
    count = 0
    text = io.TextIOWrapper(to, "utf-8", errors="backslashreplace", newline="", write_through=True)
    try:
        text.write(_line(names))
        for row in rows:
            text.write(_line([_cell(plain(value)) for value in row]))
            count += 1
    finally:
        text.detach()
    return count


def _line(cells: Sequence[str | None]) -> str:
    if len(cells) == 1:
        cells = [cells[0] or ""]
    return ",".join("" if cell is None else _quoted(cell) for cell in cells) + "\n"


def _quoted(cell: str) -> str:
    return cell if cell and not _QUOTED.search(cell) else '"' + cell.replace('"', '""') + '"'


def _cell(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
