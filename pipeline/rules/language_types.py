"""What kind of language a language is, in the sense of GitHub Linguist: only some are programming languages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

PROGRAMMING: Final = "programming"


def language_type(language: str) -> str:
    """programming, markup, data or prose.

    >>> [language_type(language) for language in ("Python", "HTML", "JSON", "Markdown")]
    ['programming', 'markup', 'data', 'prose']
    """
    return other_types().get(language, PROGRAMMING)


@cache
def other_types() -> Mapping[str, str]:
    """The types of all languages that are no programming languages; the file beside this module says whose they are."""
    text = files("pipeline.rules").joinpath("language_types.txt").read_text("utf-8")
    pairs = (line.split(": ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return MappingProxyType({language: type_ for type_, language in pairs})
