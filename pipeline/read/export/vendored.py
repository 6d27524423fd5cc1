"""Which paths hold files that are not a project's own: libraries in the repository, fixtures, tools' settings."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def vendored_paths() -> str:
    """A regular expression, for Python and for Spark, that is found in such paths and in no others.

    Its parts are the rules of GitHub Linguist, which go-enry and The Stack v2 use too; the file beside this module says
    of which version.
    """
    lines = files("pipeline.read.export").joinpath("vendored.txt").read_text("utf-8").splitlines()
    return "|".join(f"(?:{line})" for line in lines if line and not line.startswith("#"))
