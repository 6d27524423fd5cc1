"""The language of a file by its name, and by its content if the name is ambiguous. Names are those of Pygments,
but of a few files that it does not know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from typing import Any

from pygments.lexers import get_all_lexers

from pipeline.night.language_guess import best_of

LONGEST_NAME = 255
"""Characters at the end of a file's name that determine its language; git sets no limit."""

_PREFERRED = {
    "as": "ActionScript 3",
    "asm": "NASM",
    "bas": "VB.net",
    "cl": "Common Lisp",
    "cp": "C++",
    "feature": "Gherkin",
    "fs": "F#",
    "gd": "GDScript",
    "h": "C",
    "hh": "C++",
    "inc": "PHP",
    "inf": "INI",
    "lean": "Lean4",
    "m": "Objective-C",
    "mm": "Objective-C++",
    "pl": "Perl",
    "pm": "Perl",
    "pro": "Prolog",
    "prolog": "Prolog",
    "s": "GAS",
    "sc": "SuperCollider",
    "sql": "SQL",
    "t": "Perl",
    "toc": "TeX",
    "ttl": "Turtle",
    "v": "verilog",
    "xsl": "XSLT",
    "xslt": "XSLT",
}
"""What an ending means unless the content says otherwise."""

_NOT_PYGMENTS = {
    "go.mod": "Go Module",
    "go.sum": "Go Checksums",
    "go.work": "Go Workspace",
    "go.work.sum": "Go Checksums",
}
"""Names of files that Pygments takes for other languages, or lacks, with Linguist's names of theirs."""

_RENAMED = {"verilog": "Verilog", "S": "R"}
_NO_LANGUAGE = frozenset({"Text only", "Text output", "Raw token data", "ANSI color sequences"})
_INTERPRETERS = {"node": "javascript", "deno": "typescript", "pypy": "python", "dash": "sh", "ash": "sh", "wish": "tcl"}
_SHEBANG = re.compile(rb"#!\s*(\S+)(?:[ \t]+(\S+))?")
_VERSION = re.compile(r"[-.\d]+$")


def language_of(name: str, content: bytes) -> str | None:
    """The language of a text file, None if it is not recognised. Never raises, whatever the bytes.

    Args:
        name: file name without folders.
        content: the file's bytes; the start of some files is looked at, see ``language_guess``.
    """
    name = name[-LONGEST_NAME:]
    found = _by_name(name)
    if not found:
        found = _by_shebang(content[:256])
    if len(found) > 1:
        return _shown(best_of(found, _PREFERRED.get(_ending(name)), content))
    return _shown(found[0]) if found else None


def known_languages() -> frozenset[str]:
    """All names that ``language_of`` returns."""
    names = (*(name for name, *_ in _lexers()), *_NOT_PYGMENTS.values())
    return frozenset(shown for name in names if (shown := _shown(name)) is not None)


def count_lines(content: bytes) -> int:
    """Number of lines; a last line without a line end counts."""
    return content.count(b"\n") + (bool(content) and not content.endswith(b"\n"))


@lru_cache(maxsize=1 << 14)
def _by_name(name: str) -> tuple[str, ...]:
    exact, endings, globs = _patterns()
    if name in exact:
        return exact[name]
    _, *parts = name.rsplit(".", _most_dots())
    for first in range(len(parts)):
        ending = ".".join(parts[first:])
        for variant in (ending, ending.lower()):
            if variant in endings:
                return endings[variant]
    return tuple(lexer for pattern, lexer in globs if fnmatchcase(name, pattern))


def _by_shebang(start: bytes) -> tuple[str, ...]:
    match = _SHEBANG.match(start)
    if match is None:
        return ()
    program = match[1].rpartition(b"/")[2]
    if program == b"env" and match[2]:
        program = match[2].rpartition(b"/")[2]
    word = _VERSION.sub("", program.decode("ascii", "replace"))
    lexer = _aliases().get(_INTERPRETERS.get(word, word))
    return (lexer,) if lexer else ()


def _shown(lexer: str) -> str | None:
    return None if lexer in _NO_LANGUAGE else _RENAMED.get(lexer, lexer)


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


@cache
def _patterns() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]], tuple[tuple[str, str], ...]]:
    """Pygments' file patterns and ours: whole names, endings after ``*.``, and all other globs."""
    exact: dict[str, tuple[str, ...]] = {}
    endings: dict[str, tuple[str, ...]] = {}
    globs: list[tuple[str, str]] = []
    for lexer, _, patterns in _lexers():
        for pattern in patterns:
            if not any(char in pattern for char in "*?["):
                exact[pattern] = (*exact.get(pattern, ()), lexer)
            elif pattern.startswith("*.") and not any(char in pattern[2:] for char in "*?["):
                endings[pattern[2:]] = (*endings.get(pattern[2:], ()), lexer)
            else:
                globs.append((pattern, lexer))
    return exact | {name: (language,) for name, language in _NOT_PYGMENTS.items()}, endings, tuple(globs)


@cache
def _most_dots() -> int:
    return 1 + max(ending.count(".") for ending in _patterns()[1])


@cache
def _aliases() -> dict[str, str]:
    return {alias: lexer for lexer, aliases, _ in _lexers() for alias in aliases}


def _lexers() -> Iterator[tuple[str, Any, Any]]:
    for name, aliases, patterns, _ in get_all_lexers(plugins=False):
        yield name, aliases, patterns
