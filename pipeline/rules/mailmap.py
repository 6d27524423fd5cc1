"""Git's mailmap: the name and address that people want to go by, for those in their commits.

As git 2.39 reads and applies it (``gitmailmap(5)``): one entry a line, names and addresses compared without regard to
the case of ASCII letters, of two entries for the same the later.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import Final

from pipeline.model.text import text_of

MOST_BYTES: Final = 1 << 20
"""Size up to which a mailmap is read; Linux has 40 KiB."""

_SPACE: Final = " \t\n\r"
_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


@dataclass(slots=True)
class _Entry:
    """What replaces an address: with any name, and with certain names."""

    name: str | None = None
    email: str | None = None
    by_name: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)


class Mailmap:
    """The entries of a mailmap.

    Args:
        content: the file; its text after a NUL does not count, as in git. Lines that are no entries are left out.
    """

    def __init__(self, content: bytes) -> None:
        self._entries: dict[str, _Entry] = {}
        for line in content.partition(b"\0")[0].split(b"\n"):
            self._add(text_of(line))

    def person(self, name: str, email: str) -> tuple[str, str]:
        """The name and address to show for those of a commit.

        >>> mailmap = Mailmap(b"Jo Doe <jo@new> <jo@old>")
        >>> mailmap.person("jd", "Jo@Old"), mailmap.person("jd", "other")
        (('Jo Doe', 'jo@new'), ('jd', 'other'))
        """
        entry = self._entries.get(_folded(email))
        if entry is None:
            return name, email
        new_name, new_email = entry.by_name.get(_folded(name), (entry.name, entry.email))
        return name if new_name is None else new_name, email if new_email is None else new_email

    def _add(self, line: str) -> None:
        if line.startswith("#"):
            return
        first = _name_and_email(line)
        if first is None or not first[1]:
            return
        new_name, new_email, rest = first
        second = _name_and_email(rest)
        old_name, old_email = (None, None) if second is None else second[:2]
        shown_email: str | None = new_email
        if old_email is None:
            old_email, shown_email = new_email, None
        entry = self._entries.setdefault(_folded(old_email), _Entry())
        if old_name is not None:
            entry.by_name[_folded(old_name)] = (new_name, shown_email)
            return
        entry.name = entry.name if new_name is None else new_name
        entry.email = entry.email if shown_email is None else shown_email


def _name_and_email(text: str) -> tuple[str | None, str, str] | None:
    """A name (None if empty), the address in brackets after it, and what follows; None without brackets."""
    name, opened, rest = text.partition("<")
    email, closed, rest = rest.partition(">")
    if not opened or not closed:
        return None
    return name.strip(_SPACE) or None, email, rest


def _folded(text: str) -> str:
    return text.translate(_LOWER)
