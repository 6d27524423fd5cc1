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

_TOML: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+"{3,5}'
    r"|'''(?:[^']|'(?!''))*+'{3,5}"
    r'|"(?:[^"\\\n]|\\[^\n])*+"(?!")'
    r"|'[^'\n]*+'(?!')"
    r"|#[^\n]*+"
    r"|(?P<end>[=,\[\]{}\n])"
    r"|(?P<dot>\.)"
    r"|(?P<open>[\"'])",
    re.DOTALL,
)
"""What separates or hides the dots of keys: strings, comments, ends of keys, and quotation marks without an end."""


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
    dots = 0
    for token in _TOML.finditer(text):
        match token.lastgroup:
            case "end":
                dots = 0
            case "dot":
                dots += 1
                if dots >= MOST_PARTS:
                    raise TooManyParts
            case "open":
                raise OpenString
    return tomllib.loads(text)


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
