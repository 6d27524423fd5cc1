"""Formats of manifests, read in time and memory that grow with their length: other people write them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final
from xml.etree import ElementTree as ET

MOST_PARTS: Final = 32
"""Parts that a key of TOML may have: with n of them ``tomllib`` takes n squared steps, and n for each key of a table
that has such a header."""

LONGEST_NAMESPACE: Final = 1024
"""Characters of a namespace of XML: each name of an element carries it, so many names of a long one fill any memory."""

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


class LongNamespace(ValueError):
    """A namespace of XML is longer than ``LONGEST_NAMESPACE``."""


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
    """The root of a document, names without their namespaces.

    Raises:
        Doctype, LongNamespace: it is refused.
        SyntaxError: it cannot be parsed.
    """
    if "<!DOCTYPE" in text:
        raise Doctype
    root = ET.fromstring(text, ET.XMLParser(target=_Builder()))  # noqa: S314 - without a DTD no entities expand
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


class _Builder(ET.TreeBuilder):
    def start_ns(self, prefix: str, uri: str) -> None:
        if len(uri) > LONGEST_NAMESPACE:
            raise LongNamespace
