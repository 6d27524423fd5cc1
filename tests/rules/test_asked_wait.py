"""How long a host asks us to wait."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rules.asked_wait import asked_wait, closes, is_limit

NOW = 1_800_000_000.0

WAITS: dict[str, tuple[dict[str, str], float | None]] = {
    "nothing": ({}, None),
    "seconds": ({"retry-after": "120"}, 120),
    "seconds with blanks": ({"retry-after": " 7 "}, 7),
    "a fraction": ({"retry-after": "7.9"}, 7),
    "a date": ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90),
    "a date that has passed": ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0),
    "noise": ({"retry-after": "soon"}, None),
    "below zero": ({"retry-after": "-5"}, None),
    "a year that does not exist": ({"retry-after": "Thu, 01 Jan 99999 00:00:00 GMT"}, None),
    "GitHub": ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) + 600)}, 600),
    "GitHub with some left": ({"x-ratelimit-remaining": "1", "x-ratelimit-reset": str(int(NOW) + 600)}, None),
    "GitLab": ({"ratelimit-remaining": "0", "ratelimit-reset": str(int(NOW) + 30)}, 30),
    "an early draft, in seconds": ({"ratelimit-remaining": "0", "ratelimit-reset": "50"}, 50),
    "a draft with names": ({"ratelimit": "limit=100, remaining=0, reset=50"}, 50),
    "a draft with letters": ({"ratelimit": '"default";r=0;t=40'}, 40),
    "the policy that is spent": ({"ratelimit": '"daily";r=500;t=50000, "burst";r=0;t=1'}, 1),
    "both policies are spent": ({"ratelimit": '"burst";r=0;t=1, "daily";r=0;t=50'}, 50),
    "a draft with some left": ({"ratelimit": '"default";r=10;t=40'}, None),
    "the longest counts": ({"retry-after": "5", "ratelimit-remaining": "0", "ratelimit-reset": "50"}, 50),
    "no reset": ({"x-ratelimit-remaining": "0"}, None),
}


@pytest.mark.parametrize("name", WAITS)
def test_what_is_asked(name: str) -> None:
    headers, expected = WAITS[name]
    assert asked_wait(headers, NOW) == expected


NAMES = ("retry-after", "ratelimit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit-reset")


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=40)))
def test_any_text_is_a_time_or_nothing(headers: dict[str, str]) -> None:
    wait = asked_wait(headers, NOW)
    assert wait is None or wait >= 0


@pytest.mark.parametrize(
    ("status", "wait_s", "limit", "closing"),
    [
        (200, None, False, False), (200, 5.0, False, False), (403, None, False, False), (403, 5.0, True, True),
        (429, None, True, True), (429, 5.0, True, True), (503, None, False, True), (500, 5.0, False, False),
    ],
)  # fmt: skip
def test_which_answers_close(status: int, wait_s: float | None, limit: bool, closing: bool) -> None:
    assert (is_limit(status, wait_s), closes(status, wait_s)) == (limit, closing)
