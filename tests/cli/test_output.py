"""Printed output: JSON for any program, and text that is harmless to a terminal."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import BaseModel

from pipeline.cli.output import Output, jsonable, set_up_logging
from pipeline.model.errors import ScratchFailed


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Pair(NamedTuple):
    number: int
    oid: bytes


@dataclass(frozen=True)
class Thing:
    when: date
    where: Path
    oid: bytes
    counts: dict[Colour, int]


class Model(BaseModel):
    when: date
    items: tuple[Colour, ...]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (
            Thing(date(2026, 11, 1), Path("/a/b"), b"\0\xff", {Colour.RED: 2}),
            {"when": "2026-11-01", "where": "/a/b", "oid": "00ff", "counts": {"red": 2}},
        ),
        (Model(when=date(2026, 11, 1), items=(Colour.RED,)), {"when": "2026-11-01", "items": ["red"]}),
        (datetime(2026, 11, 1, 2, 3, 4, tzinfo=UTC), "2026-11-01T02:03:04Z"),
        ([bytearray(b"\1"), (None, True, 1, 1.5)], ["01", [None, True, 1, 1.5]]),
        ({date(2026, 11, 1): 1, b"\1": 2, 3: 3}, {"2026-11-01": 1, "01": 2, "3": 3}),
        ([float("nan"), float("-inf")], ["nan", "-inf"]),
        (datetime(2026, 11, 1, 2, 3, 4, 500000), "2026-11-01T02:03:04.500000"),
        (
            {"line": "\udcff", "models": [Model(when=date(2026, 11, 1), items=())], "key": {Level.LOW: Level.LOW}},
            {"line": "\udcff", "models": [{"when": "2026-11-01", "items": []}], "key": {"1": 1}},
        ),
        ((Pair(1, b"\1"), {3}, frozenset({b"\2"}), ValueError("words")), [[1, "01"], [3], ["02"], "words"]),
        ([Decimal("1.50"), timedelta(seconds=1)], ["1.50", "PT1S"]),
    ],
)
def test_json_is_plain(value: object, plain: object) -> None:
    assert jsonable(value) == plain
    assert json.loads(json.dumps(jsonable(value), allow_nan=False)) == plain


def test_json_is_whole_however_long_its_lines_are(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"long": "word " * 200, "markup": "[red]x[/]", "ansi": "\x1b[31m"}
    assert Output("json").result(value)
    assert json.loads(capsys.readouterr().out) == value


def test_json_among_events_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"long": "word " * 200, "lines": "1\n2", "failed": [{"a": 1}, {"b": 2}]}
    assert Output("json", "json").result(value)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == value


def test_text_asks_for_nothing_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert not Output("text").result({"a": 1})
    assert capsys.readouterr() == ("", "")


HOSTILE = "[red]name[/] [/nonsense] \x1b]0;title\x07\x1b[2J\r\b\x9b1m \u202eevil"


@pytest.mark.parametrize("show", ["say", "complain", "table", "fields"])
def test_what_origins_send_is_shown_and_not_obeyed(show: str, capsys: pytest.CaptureFixture[str]) -> None:
    output = Output("text")
    if show == "say":
        output.say(HOSTILE)
    elif show == "complain":
        output.complain(HOSTILE)
    elif show == "table":
        output.table("Title", ["name", "count"], [(HOSTILE, 1)])
    else:
        output.fields("Title", {"name": HOSTILE})
    told = capsys.readouterr()
    shown = told.out or told.err
    assert "[red]name[/] [/nonsense] \\x1b]0;title\\x07\\x1b[2J\\x0d\\x08\\x9b1m \\u202eevil" in shown
    assert shown.replace("\n", "").isprintable()


def test_lines_and_letters_of_all_people_stay(capsys: pytest.CaptureFixture[str]) -> None:
    Output("text").table(None, ["message"], [("one\ntwo \u65e5\u672c caf\u00e9",)])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "one" in lines
    assert "two \u65e5\u672c caf\u00e9" in lines


def test_cells(capsys: pytest.CaptureFixture[str]) -> None:
    moment = datetime(2026, 11, 1, 2, 3, 4, tzinfo=UTC)
    cells = (None, True, 12345, 1.5, b"\0\xff", moment, date(2026, 11, 1), [b"\1", None], Colour.RED)
    Output("text").table(None, [str(number) for number in range(len(cells))], [cells])
    shown = capsys.readouterr().out.splitlines()[3]
    assert " ".join(shown.split()) == "yes 12,345 1.50 00ff 2026-11-01 02:03:04 2026-11-01 [01, ] red"


def test_a_title_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Titles are URLs, which wrapped ones no longer are."""
    url = f"https://example.org/{'a' * 200}"
    Output("text").fields(url, {"state": "active"})
    assert capsys.readouterr().out.splitlines() == [url, "state  active"]


@pytest.fixture
def root_log() -> Iterator[None]:
    """Gives pytest its handlers back."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.mark.usefixtures("root_log")
def test_with_a_log_of_events_standard_error_has_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output("text", "json")
    set_up_logging("INFO", output)
    output.note("took\na while")
    output.complain(ScratchFailed("/s", HOSTILE))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", UserWarning, stacklevel=1)
    note, error, warning = map(json.loads, capsys.readouterr().err.splitlines())
    assert (note["event"], note["message"]) == ("note", "took\\na while")
    assert (error["event"], error["level"], error["code"]) == ("error", "ERROR", "scratch_failed")
    assert error["message"].isprintable()
    assert warning["logger"] == "py.warnings"


@pytest.mark.usefixtures("root_log")
def test_calls_that_an_interrupt_cuts_off_are_not_told_by_py4j(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("INFO", Output("text"))
    logging.error("KeyboardInterrupt while sending command.")
    calls = logging.getLogger("py4j.clientserver")
    calls.error("Exception occurred while shutting down connection")
    calls.error("something else")
    (said,) = capsys.readouterr().err.splitlines()
    assert said.endswith("something else")


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_an_error_of_ours_in_a_task_is_a_sentence(
    root_log: None, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    """Luigi's traceback of any other error stays."""
    set_up_logging(level, Output("text"))
    for error in (ScratchFailed("/x", "full"), ZeroDivisionError("by nothing")):
        try:
            raise error
        except (ScratchFailed, ZeroDivisionError):
            logging.getLogger("luigi-interface").exception("[pid %s] Worker %s failed    %s", 1, "w", "Fetch()")
    told = capsys.readouterr().err
    assert f"failed    Fetch(): {ScratchFailed('/x', 'full')}\n" in told or level == "DEBUG"
    assert told.count("Traceback") == (1 if level == "INFO" else 2)
