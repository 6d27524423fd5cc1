"""Which listed repositories become origins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.model.pattern import OptOuts, parse_pattern
from pipeline.rules.listings import Wanted, refusal

URL = "https://forge.example/o/r.git"
NONE = OptOuts(())
ALL = Wanted(
    forks=True, archived=True, largest_bytes=None, only=NONE, without=NONE, opted_out=NONE, taken_down=NONE
)  # fmt: skip
UNSAID: dict[str, Any] = dict.fromkeys(("fork", "archived", "private", "empty", "size_bytes"))


def rules(*texts: str) -> OptOuts:
    return OptOuts(map(parse_pattern, texts))


@pytest.mark.parametrize(
    ("wanted", "shown", "why"),
    [
        ({}, {}, None),
        ({}, {"fork": True, "archived": True, "size_bytes": 10**15}, None),
        ({}, {"private": True}, "private"),
        ({}, {"empty": True}, "empty"),
        ({"forks": False}, {}, None),
        ({"forks": False}, {"fork": True}, "fork"),
        ({"archived": False}, {"archived": True}, "archived"),
        ({"largest_bytes": 10}, {"size_bytes": 10}, None),
        ({"largest_bytes": 10}, {"size_bytes": 11}, "too_large"),
        ({"only": rules("https://forge.example/o/*")}, {}, None),
        ({"only": rules("https://forge.example/p/*")}, {}, "filtered"),
        ({"without": rules("https://forge.example/o/r")}, {}, "without"),
        ({"opted_out": rules("https://forge.example/*")}, {}, "opted_out"),
        ({"opted_out": rules("git://FORGE.example/o/R")}, {}, "opted_out"),
        ({"taken_down": rules(URL), "opted_out": rules(URL)}, {}, "taken_down"),
    ],
)
def test_what_may_become_an_origin(wanted: dict[str, Any], shown: dict[str, Any], why: str | None) -> None:
    assert refusal(replace(ALL, **wanted), URL, **{**UNSAID, **shown}) == why
