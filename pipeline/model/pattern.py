"""How people name origins to a command: one URL, or all below a place, ``https://host/owner/*``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from socket import inet_aton, inet_ntoa
from typing import TypeVar

from pipeline.model.errors import UsageError
from pipeline.model.origin import check_url, decoded

T = TypeVar("T")

_BEFORE_HOST = re.compile(r"^[a-z][a-z0-9+.-]*://(?:[^/@]*@)?")
_PORT = re.compile(r":[0-9]+$")
_USUAL_PORTS = ("", ":443", ":80", ":9418", ":22")
_NUMBERS = re.compile(r"[0-9][0-9a-fx.]*")
_ENCODED = "xn--"
_SUFFIX = ".git"

_EVERYTHING_BELOW = "/*"

_SERVICES = (["info", "refs"], ["git-upload-pack"])
"""What git appends to the URL of a repository."""


class BadPattern(UsageError):
    """There is a star where none is allowed. The text is not repeated: it has not been checked for secrets."""

    def __str__(self) -> str:
        return (
            "a star is only allowed alone after the last slash, as in https://host/owner/*, which names everything "
            "below; without a star, one URL is named"
        )


class BadPatternList(UsageError):
    """Some lines cannot be used; ``problems`` holds their numbers and what is wrong with each."""

    def __init__(self, source: str, problems: tuple[tuple[int, str], ...]) -> None:
        super().__init__(source, problems)
        self.source, self.problems = source, problems

    def __str__(self) -> str:
        lines = "".join(f"\n  line {number}: {why}" for number, why in self.problems)
        return f"{self.source}: nothing was changed, {len(self.problems)} lines cannot be used:{lines}"


def place_of(url: str) -> str:
    """Where a stored URL leads: host and path, the same for all spellings that a server may take for one repository.

    The scheme, its usual port, the spelling of the host, the case of letters, percent signs, what follows ``?`` or
    ``;``, empty or dot segments and ``.git`` make no difference. It decides what is refused, where too much is better
    than too little; it is never visited.

    >>> place_of("https://host/a/b.git") == place_of("git://host.:9418/A//%62/.git") == "host/a/b"
    True
    """
    return _place(*_host_and_segments(url))


def place_asked(url: str) -> str:
    """``place_of`` the repository that git asks with a URL.

    >>> place_asked("https://host/a/b.git/info/refs?service=git-upload-pack"), place_asked("https://host/a/b")
    ('host/a/b', 'host/a/b')
    """
    host, segments = _host_and_segments(url)
    for service in _SERVICES:
        if segments[-len(service) :] == service:
            return _place(host, segments[: -len(service)])
    return _place(host, segments)


def _place(host: str, segments: list[str]) -> str:
    while segments and segments[-1].endswith(_SUFFIX):
        last = segments.pop().removesuffix(_SUFFIX)
        segments += [last] if last else []
    return "/".join([host, *segments])


def _host_and_segments(url: str) -> tuple[str, list[str]]:
    authority, _, path = _BEFORE_HOST.sub("", url).partition("/")
    segments: list[str] = []
    for segment in re.split(r"[?;#]", _plain(path), maxsplit=1)[0].split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    port = "".join(_PORT.findall(authority))
    host = _plain_host(authority.removesuffix(port).rstrip("."))
    return host if port in _USUAL_PORTS else host + port, segments


def _plain_host(host: str) -> str:
    """Addresses as everybody writes them, names in letters."""
    try:
        if host.startswith("["):
            return f"[{IPv6Address(host[1:-1])}]"
        if _NUMBERS.fullmatch(host):
            return inet_ntoa(inet_aton(host))
    except (OSError, ValueError):
        return host
    return ".".join(map(_in_letters, host.split("."))) if _ENCODED in host else host


def _in_letters(label: str) -> str:
    """A part of a name without the encoding of domain names."""
    try:
        letters = (
            label.removeprefix(_ENCODED).encode("ascii").decode("punycode") if label.startswith(_ENCODED) else label
        )
    except UnicodeError:
        return label
    return label if letters.isascii() else letters


def _plain(path: str) -> str:
    """The path decoded, in lower case and one normal form."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", decoded(path)).casefold())


@dataclass(frozen=True, slots=True)
class Pattern:
    """One URL as it is stored, or everything below a place: then ``url`` ends with a slash."""

    url: str
    below: bool = False

    def __str__(self) -> str:
        return f"{self.url}*" if self.below else self.url

    @classmethod
    def of(cls, text: str) -> Pattern:
        """A pattern from its own text."""
        below = text.endswith(_EVERYTHING_BELOW)
        return cls(text.removesuffix("*") if below else text, below)

    @property
    def place(self) -> str:
        """As ``place_of``; ends with a slash for everything below."""
        if not self.below:
            return place_of(self.url)
        host, segments = _host_and_segments(self.url)
        return "/".join([host, *segments, ""])


def parse_pattern(text: str) -> Pattern:
    """Read a URL, or one that ends with ``/*``.

    Raises:
        BadPattern: there is a star elsewhere.
        BadOriginUrl: without its star it is not a URL.
    """
    text = text.strip()
    below = text.endswith(_EVERYTHING_BELOW)
    rest = text.removesuffix(_EVERYTHING_BELOW)
    if "*" in rest or (below and ("?" in rest or "#" in rest)):
        raise BadPattern
    if not below:
        return Pattern(check_url(text))
    # A host alone is not an origin's URL, so it is checked with a path that is then removed again.
    return Pattern(check_url(f"{rest.rstrip('/')}/x").removesuffix("x"), below=True)


def parse_patterns(source: str, lines: Iterable[str]) -> list[Pattern]:
    """Read a list, one per line. Blank lines, and comments after ``#`` at the start or after white space, are skipped.

    Raises:
        BadPatternList: any line is bad; it names all bad lines.
    """
    found, problems = read_column(lines, parse_pattern)
    if problems:
        raise BadPatternList(source, tuple(problems))
    return found


def read_column(lines: Iterable[str], parse: Callable[[str], T]) -> tuple[list[T], list[tuple[int, str]]]:
    """The values in a list of one column, each once and in order, and the numbers and problems of bad lines.

    Args:
        parse: reads a word; raises ``UsageError`` for a bad one.
    """
    found: dict[T, None] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        words = before_comment(line).split()
        if not words:
            continue
        try:
            if len(words) > 1:
                raise UsageError("more than one column")
            found[parse(words[0])] = None
        except UsageError as error:
            problems.append((number, str(error)))
    return list(found), problems


def before_comment(line: str) -> str:
    """A line without its comment."""
    return "" if line.lstrip().startswith("#") else re.split(r"\s#", line, maxsplit=1)[0]


class OptOuts:
    """Patterns of repositories that must not be archived; they hold for every spelling, see ``place_of``."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._by_place = {pattern.place: pattern for pattern in patterns}

    def __bool__(self) -> bool:
        return bool(self._by_place)

    def __iter__(self) -> Iterator[Pattern]:
        return iter(self._by_place.values())

    def rule_for(self, url: str) -> Pattern | None:
        """The widest pattern that a stored URL falls under, None if it falls under none."""
        return self.rule_at(place_of(url))

    def rule_at(self, place: str) -> Pattern | None:
        """The same for a place."""
        at = place.find("/")
        while at >= 0:
            rule = self._named(place[: at + 1])
            if rule is not None:
                return rule
            at = place.find("/", at + 1)
        return self._named(place)

    def _named(self, place: str) -> Pattern | None:
        return self._by_place.get(place)
