"""Which authors are programs, by their names and addresses."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final

LONGEST: Final = 256
"""Characters of a name or address that are looked at."""

_NUMBER: Final = re.compile(r"^\d{1,20}\+")


def is_bot(name: str, email: str) -> bool:
    """Whether an author is a program, not a person; the file beside this module has the rules and where they come from.

    >>> is_bot("dependabot[bot]", "49699333+dependabot[bot]@users.noreply.github.com"), is_bot("Talbot", "a@robot.org")
    (True, False)
    """
    user = _NUMBER.sub("", email.partition("@")[0], count=1)
    return any(_rules().fullmatch(text[:LONGEST].lower()) for text in (name, user))


@cache
def _rules() -> re.Pattern[str]:
    lines = files("pipeline.rules").joinpath("bots.txt").read_text("utf-8").splitlines()
    return re.compile("|".join(f"(?:{line})" for line in lines if line and not line.startswith("#")))
