"""Formats of manifests, read in time and memory that grow with their length: other people write them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final
from xml.etree import ElementTree as ET
from xml.parsers import expat

MOST_PARTS: Final = 32
"""Parts that a key of TOML may have: with n of them ``tomllib`` takes n squared steps, and n for each key of a table
that has such a header."""

_TOML: Final = re.compile(r"\"\"\"|'''|[\"'#.=,\[\]{}\n]")
"""What separates or hides the dots of keys: quotation marks, comments, and ends of keys."""

_BASIC_END: Final = re.compile(r'["\\\n]')
_LONG_BASIC_END: Final = re.compile(r'"""|\\')
_LITERAL_END: Final = re.compile(r"['\n]")


class NoOption(ValueError):
    """A line of an INI file is neither a section nor an option."""


class TooManyParts(ValueError):
    """A key of TOML has more than ``MOST_PARTS`` parts."""


class OpenString(ValueError):
    """A string of TOML has no end."""


class Doctype(ValueError):
    """XML with a DTD, which defines entities."""


def ini(text: str) -> dict[str, dict[str, str]]:
    """The sections of an INI file and their options, as ``ConfigParser(interpolation=None, strict=False)`` reads them.

    Raises:
        NoOption: a line cannot be read.
    """
    sections: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] | None = None
    lines: list[str] | None = None
    indent = 0
    for line in text.split("\n"):
        value = line.strip()
        if value.startswith(("#", ";")):
            continue
        if not value:
            if lines is not None:
                lines.append("")
            continue
        here = len(line) - len(line.lstrip())
        if lines is not None and here > indent:
            lines.append(value)
            continue
        indent = here
        if header := re.match(r"\[(.+)\]", value):
            section, lines = sections.setdefault(header[1], {}), None
            continue
        name, *rest = re.split("[=:]", value, maxsplit=1)
        if section is None or not rest or not name:
            raise NoOption
        lines = section[name.rstrip().lower()] = [rest[0].strip()]
    return {
        name: {option: "\n".join(lines).rstrip() for option, lines in found.items()} for name, found in sections.items()
    }


def toml(text: str) -> Mapping[str, Any]:
    """A document.

    Raises:
        TooManyParts, OpenString: it is refused before it is parsed.
        ValueError: it cannot be parsed.
    """
    dots = at = 0
    while token := _TOML.search(text, at):
        at = token.end()
        match token[0]:
            case ".":
                dots += 1
                if dots >= MOST_PARTS:
                    raise TooManyParts
            case "#":
                at = text.find("\n", at)
                if at < 0:
                    break
            case '"' | "'" | '"""' | "'''":
                at = _string_end(text, token[0], at)
            case _:
                dots = 0
    return tomllib.loads(text)


def _string_end(text: str, quote: str, at: int) -> int:
    """Where a string ends that begins after this quotation mark.

    Raises:
        OpenString: nowhere.
    """
    if quote == "'''":
        end = text.find(quote, at)
        if end < 0:
            raise OpenString
        return _past_quotes(text, end + 3, "'")
    ends = {'"': _BASIC_END, '"""': _LONG_BASIC_END, "'": _LITERAL_END}[quote]
    while found := ends.search(text, at):
        at = found.end()
        if found[0] == quote:
            return _past_quotes(text, at, '"') if len(quote) == 3 else at
        if found[0] == "\n":
            break
        if quote == '"' and text[at : at + 1] == "\n":
            break
        at += 1
    raise OpenString


def _past_quotes(text: str, at: int, quote: str) -> int:
    """After up to two quotation marks, which are the last of a long string."""
    return at + next(count for count in (2, 1, 0) if text[at : at + count] == quote * count)


def xml(text: str) -> ET.Element:
    """The root of a document, names of elements without their prefixes.

    Namespaces are not looked at: each name would carry its own, so many names of a long one would fill any memory.

    Raises:
        Doctype: it is refused.
        ParseError: it cannot be parsed.
    """
    if "<!DOCTYPE" in text:
        raise Doctype
    builder, parser = ET.TreeBuilder(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda name, attributes: builder.start(name.rpartition(":")[2], attributes)
    parser.EndElementHandler = lambda name: builder.end(name.rpartition(":")[2])
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise ET.ParseError(str(error)) from None
    return builder.close()
