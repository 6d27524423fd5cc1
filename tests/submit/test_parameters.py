"""What a job takes, from the signature of its ``main``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date
from types import ModuleType
from typing import Any

import pytest

from pipeline.read.submit.parameters import BadArguments, Parameters

SOURCE = """
from __future__ import annotations
from datetime import date
from typing import Annotated, Literal
from pydantic import Field

def main(
    archive: NotImported,
    language: str,
    top: Annotated[int, Field(ge=1, description="rows to keep")] = 10,
    *,
    kinds: list[str] = [],
    since: date | None = None,
    form: Literal["full", "short"] = "full",
    deep_scan: bool = False,
    unannotated=0.5,
) -> NotImported: ...

def words(archive, argv): ...
def nothing(): ...
def unnamed(archive, **more): ...
def unknown(archive, a: NotImported): ...
"""


@pytest.fixture
def module() -> Iterator[Any]:
    made = ModuleType("jobs.of_parameters")
    sys.modules[made.__name__] = made
    exec(compile(SOURCE, "of_parameters.py", "exec"), vars(made))
    yield made
    del sys.modules[made.__name__]


def test_flags_are_put_on_and_off(module: Any) -> None:
    parameters = Parameters("j", module.main)
    for word, value in (("--deep-scan", True), ("--no-deep-scan", False), ("--deep-scan=true", True)):
        assert parameters.arguments(["--language=C", word])[1]["deep_scan"] is value
    with pytest.raises(BadArguments, match="there is no parameter --no-top; "):
        parameters.arguments(["--language=C", "--no-top"])


def test_values_get_the_types_that_they_are_declared_with(module: Any) -> None:
    parameters = Parameters("j", module.main)
    words = ["--language", "C", "top=3", "--kinds=a", "--kinds", "b", "--since=2026-11-01", "--deep-scan"]
    assert parameters.arguments(words) == (
        [],
        {
            "language": "C",
            "top": 3,
            "kinds": ["a", "b"],
            "since": date(2026, 11, 1),
            "form": "full",
            "deep_scan": True,
            "unannotated": 0.5,
        },
    )
    assert [(p.option, p.kind, p.default, p.required, p.many, p.is_flag) for p in parameters.all()] == [
        ("--language", "STR", None, True, False, False),
        ("--top", "INT", "10", False, False, False),
        ("--kinds", "STR", None, False, True, False),
        ("--since", "DATE", None, False, False, False),
        ("--form", "full|short", "full", False, False, False),
        ("--deep-scan", "", "False", False, False, True),
        ("--unannotated", "FLOAT", "0.5", False, False, False),
    ]
    assert parameters.all()[1].description == "rows to keep"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--language must be given"),
        (["language=C", "--top=0"], "--top: Input should be greater than or equal to 1"),
        (["language=C", "--top=many"], "--top: Input should be a valid integer"),
        (["language=C", "--form", "long"], "--form: Input should be 'full' or 'short'"),
        (["language=C", "--nme=x"], "there is no parameter --nme"),
        (["language=C", "surplus"], "there is no parameter surplus"),
        (["language=C", "--language=D"], "--language is given twice"),
        (["--language"], "--language has no value"),
    ],
)
def test_what_it_does_not_take_is_told_with_what_it_takes(module: Any, words: list[str], says: str) -> None:
    with pytest.raises(BadArguments) as told:
        Parameters("j", module.main).arguments(words)
    assert says in str(told.value)
    assert "it takes --language STR, --top INT, --kinds STR" in str(told.value)


def test_the_value_of_an_unknown_parameter_is_not_told(module: Any) -> None:
    with pytest.raises(BadArguments) as told:
        Parameters("j", module.main).arguments(["--tokn", "hush", "--top", "many"])
    assert "there is no parameter --tokn; " in str(told.value)
    assert "--top: Input should be a valid integer" in str(told.value)
    assert "hush" not in str(told.value)


def test_a_main_of_words_gets_them_unread(module: Any) -> None:
    parameters = Parameters("j", module.words)
    assert parameters.all() == []
    assert parameters.arguments(["--anything", "x"]) == ([["--anything", "x"]], {})


@pytest.mark.parametrize(
    ("name", "says"), [("nothing", "takes no archive"), ("unnamed", "has no name"), ("unknown", "NotImported")]
)
def test_a_main_that_cannot_be_called_is_told(module: Any, name: str, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        Parameters("j", getattr(module, name))
