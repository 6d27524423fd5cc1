"""Other people's text made safe to show or keep: without possible secrets, and for tables as one short line.

Our own messages contain no secrets. This is for the rest: text from servers and libraries, tracebacks, and what a
person typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MOST_CHARACTERS = 500
"""Longest message kept in a table."""

HIDDEN = "..."
SHORTEST_SECRET = 6

_STRONG = re.compile(
    r"token|secret|passw|passphrase|pwd|credential|signature|bearer|cookie|delegation|apikey|session.?id|auth(?!or(?!i[sz]))"
)
_WEAK = frozenset({"key", "sig", "pass", "pw", "jwt", "sas"})
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")

_KNOWN_SHAPES = re.compile(
    r"\bgh[a-z]_\w{16,}|\bgithub_pat_\w{16,}|\bgl[a-z]{1,8}-[\w-]{16,}|\bxox[a-z]-[\w-]{8,}|\bA[KS]IA[0-9A-Z]{16}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://")
_AUTHORITY = re.compile(r"(?:\[[0-9A-Fa-f:.]*\]|[\w.-]*)(?::[0-9]*)?(?=[/?#'\"`(),;<>\]}]|[.:]*$)")
_SSH_USER = re.compile(r"[\w.-]+@")
_LOGIN = re.compile(r"\b(basic|bearer|negotiate|digest)\s+[\w+/=.~-]{4,}", re.IGNORECASE)
_NAMED = re.compile(r"\b([A-Za-z_][\w.-]{0,80})([\"']?\s{0,2}[=:]\s{0,2}[\"']?)([^\s\"'&;,)}\]]+)")
_OPTION = re.compile(r"(?<!\S)(--?[A-Za-z][\w-]{0,80})(\s{1,2})([^\s-]\S*)")
_PROSE = re.compile(r"[A-Z]?[a-z]+")
_ANY_SPACE, _SPACES = re.compile(r"(\s+)"), re.compile(r"( +)")
_AT = ("@", "\uff20", "\ufe6b")

_UNSEEN = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that control a terminal, or change the order in which others are shown."""

_known: set[str] = set()


def never_show(secret: str) -> None:
    """Remember a secret of the configuration: this process hides it wherever it appears.

    Plain words, such as ``true``, and very short values are not secrets.
    """
    if len(secret) >= SHORTEST_SECRET and not secret.isalpha():
        _known.add(secret)


def is_secret_name(name: str) -> bool:
    """Whether a setting, parameter or key of this name carries a secret."""
    return bool(_STRONG.search(name.lower())) or any(word.lower() in _WEAK for word in _WORD.findall(name))


def carries_secret(name: str, value: str) -> bool:
    """Whether a setting carries a secret, by its name or by a login in its value."""
    return is_secret_name(name) or without_secrets(value) != value


def has_secret_shape(text: str) -> bool:
    """Whether part of the text looks like an access token of a well-known service."""
    return _KNOWN_SHAPES.search(text) is not None


def without_secrets(text: str) -> str:
    """The text with possible logins hidden: in URLs, and after names such as ``token=``."""
    return _hide(text, _ANY_SPACE, _hide_value_in_prose)


def one_line(text: str, most: int = MOST_CHARACTERS) -> str:
    """Text from outside made safe for a table and a terminal: one line of printable characters without secrets.

    Args:
        text: text of any length.
        most: greatest length of the result, in characters.
    """
    looked_at = text[: 8 * most]
    if len(looked_at) < len(text):
        looked_at = looked_at.rpartition(" ")[0]  # half a word may be half a secret that does not look like one
    hidden = _hide(looked_at, _SPACES, _hide_value)
    line = "".join(ch if ch.isprintable() else " " for ch in hidden).strip()
    shortened = len(line) > most or len(looked_at) < len(text)
    return f"{line[: most - len(HIDDEN) - 1]} {HIDDEN}".lstrip() if shortened else line


def arguments_without_secrets(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Arguments of a command that are safe to record: a separate value after ``--token`` is hidden too."""
    shown = []
    hide_next = False
    for argument in arguments:
        shown.append(HIDDEN if hide_next else without_secrets(argument))
        hide_next = argument.startswith("-") and "=" not in argument and is_secret_name(argument)
    return tuple(shown)


def harmless(text: str) -> str:
    """Text that is safe for a terminal, whoever wrote it; control characters are spelled out."""
    return _UNSEEN.sub(lambda found: _spelled(ord(found[0])), text)


def _spelled(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _hide(text: str, gap: re.Pattern[str], named: Callable[[re.Match[str]], str]) -> str:
    for secret in _known:
        text = text.replace(secret, HIDDEN)
    text = "".join(_hide_in_word(word) for word in gap.split(text))
    text = _LOGIN.sub(rf"\1 {HIDDEN}", text)
    text = _OPTION.sub(_hide_value, text)
    text = _NAMED.sub(named, text)
    return _KNOWN_SHAPES.sub(HIDDEN, text)


def _hide_in_word(word: str) -> str:
    """A word without the login or query of a URL in it; something that only looks like one is hidden completely."""
    found = _SCHEME.search(word)
    if found is None:
        return HIDDEN if any(at in word.lstrip("@") for at in _AT) else word
    before, scheme, rest = word[: found.start()], found[0], word[found.end() :]
    user = _SSH_USER.match(rest) if scheme.lower() == "ssh://" else None
    place = rest[user.end() :] if user is not None else rest
    if any(mark in place for mark in (*_AT, "%40", "\\")) or _AUTHORITY.match(place) is None:
        return f"{HIDDEN if any(at in before for at in _AT) else before}{scheme}{HIDDEN}"
    cut = min((at for mark in "?#" if (at := rest.find(mark)) >= 0), default=None)
    return word if cut is None else word[: found.end() + cut + 1] + HIDDEN


def _hide_value(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{HIDDEN}" if is_secret_name(found[1]) else found[0]


def _hide_value_in_prose(found: re.Match[str]) -> str:
    """Hide a value, but not in prose such as "token: give one", which explains a setting."""
    explains = found[2] == ": " and _PROSE.fullmatch(found[3])
    return found[0] if explains else _hide_value(found)
