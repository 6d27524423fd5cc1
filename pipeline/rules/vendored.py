"""Which paths hold files that are not a project's own: libraries in the repository, fixtures, tools' settings."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final

LONGEST_PATH: Final = 4096
"""Characters at the end of a path that are looked at; git sets no limit."""

_FOLDER: Final = ("(^|/)", r"(^|\/)")
_ANYTHING: Final = (r"([^\s]*)", "(.*?)")
"""What some rules begin with, and finds the same paths when left out, but for longer."""


def is_vendored(path: str) -> bool:
    """Whether a file is not the project's own, by its path."""
    return re.search(vendored_paths(), path[-LONGEST_PATH:]) is not None


@cache
def vendored_paths() -> str:
    """A regular expression, for Python and for Spark, that is found in such paths and in no others.

    Its parts are the rules of GitHub Linguist, which go-enry and The Stack v2 use too; the file beside this module says
    of which version. Those that hold from a folder's beginning are tried only there, which takes a small part of the
    time.
    """
    lines = files("pipeline.rules").joinpath("vendored.txt").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    of_folders = [rule.removeprefix(start) for start in _FOLDER for rule in rules if rule.startswith(start)]
    of_roots = [rule.removeprefix("^") for rule in rules if rule.startswith("^")]
    anywhere = [
        rule.removeprefix(_ANYTHING[0]).removeprefix(_ANYTHING[1])
        for rule in rules
        if not rule.startswith(("^", *_FOLDER))
    ]
    return "|".join((f"(?:^|/)(?:{'|'.join(of_folders)})", f"^(?:{'|'.join(of_roots)})", *anywhere))
