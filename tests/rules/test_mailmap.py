"""Mailmaps against git itself."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

from pipeline.rules.mailmap import Mailmap
from tests.support.repos import init, put

WORDS = [
    "Jo", "jo", " ", "\t", "<", "<", ">", ">", "a@b", "A@B", "c@d", "#", "\r", "Joe Doe", "<a@b>", "<c@d>", "<>", "É",
]  # fmt: skip
PEOPLE = [(name, email) for name in ("Jo", "JO", "Al B", "É") for email in ("a@b", "A@B", "c@d", "x@y")]


def entry(chance: random.Random) -> str:
    """A line like an entry, or any words."""
    if chance.random() < 0.4:
        return "".join(chance.choices(WORDS, k=chance.randrange(8)))
    names, emails = ["Jo", "jo ", "Al B", "", " ", "É"], ["<a@b>", "<A@b>", "<c@d>", "< a@b>", "<>"]
    parts = [chance.choice(names) + chance.choice(emails) for _ in range(chance.randrange(1, 4))]
    return (
        chance.choice(["", "", "", "#", " "]) + chance.choice(["", " "]).join(parts) + chance.choice(["", "\r", " # x"])
    )


def by_git(repository: Path, mailmap: bytes) -> list[str]:
    blob = put(repository, "blob", mailmap)
    command = ["git", "-c", f"mailmap.blob={blob}", "check-mailmap", "--stdin"]
    asked = "".join(f"{name} <{email}>\n" for name, email in PEOPLE).encode()
    return (
        subprocess.run(command, cwd=repository, input=asked, capture_output=True, check=True)
        .stdout.decode()
        .split("\n")
    )


def by_us(mailmap: bytes) -> list[str]:
    found = Mailmap(mailmap)
    people = (found.person(*person) for person in PEOPLE)
    return [*(f"{name} <{email}>" if name else f"<{email}>" for name, email in people), ""]


def test_each_entry_is_applied_as_git_does(tmp_path: Path) -> None:
    repository, chance = init(tmp_path / "r"), random.Random(5)
    applied = 0
    for _ in range(150):
        mailmap = "\n".join(entry(chance) for _ in range(chance.randrange(1, 6))).encode()
        expected = by_git(repository, mailmap)
        assert by_us(mailmap) == expected, mailmap
        applied += expected != by_us(b"")
    assert applied > 50


def test_text_after_a_nul_does_not_count(tmp_path: Path) -> None:
    mailmap = b"One <one@new> <a@b>\n\0\nTwo <two@new> <c@d>\n"
    assert by_us(mailmap) == by_git(init(tmp_path / "r"), mailmap)
    assert Mailmap(mailmap).person("x", "c@d") == ("x", "c@d")


def test_bytes_that_are_no_text_are_shown_as_in_commits() -> None:
    assert Mailmap(b"J\xff <a@b>").person("j", "a@b") == ("J\ufffd", "a@b")
    assert Mailmap(b"<" * 100_000).person("j", "a@b") == ("j", "a@b")
