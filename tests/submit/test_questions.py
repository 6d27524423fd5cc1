"""The questions of docs/questions.md, on two small repositories and a fork whose answers are known."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.archive import Archive, Place, night
from tests.support.git import git, resolve, run_git
from tests.support.servers import git_daemon

QUESTIONS = Path(__file__).parents[2] / "docs" / "questions.md"
SQL = re.compile(r"^### (\d+)\. .*?^```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)

CALC, TOOLS, FORK = "calc.git", "tools.git", "fork.git"
ADA, BOB = b"Ada <ada@example.org>", b"Bob <bob@example.org>"
WINTER, SUMMER = 1_700_000_000, 1_720_000_000
"""2023-11-14 22:13:20 and 2024-07-03 09:46:40 UTC."""

LICENCE = b"Do what you like.\n"
CODE = b"def add(a, b):\n    return a + b\n"
FIXED = b"# TODO: numbers only\ndef add(a, b):\n    return a + b\n"
README = b"# Calc\n\nIt adds.\n"


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def _commit(author: bytes, at: int, message: bytes, *changes: bytes, by: bytes = b"", rest: bytes = b"") -> bytes:
    head = b"commit refs/heads/main\nauthor %s %d +0200\ncommitter %s %d +0200\n" % (author, at, by or author, at)
    return head + _data(message) + rest + b"".join(changes)


def _file(path: bytes, content: bytes, mode: bytes = b"100644") -> bytes:
    return b"M %s inline %s\n%s" % (mode, path, _data(content))


def _repository(path: Path, *stream: bytes) -> None:
    assert run_git("init", "--quiet", "--bare", "--initial-branch=main", path).returncode == 0
    git(path, "fast-import", "--quiet", stdin=b"".join(stream))


def make_repositories(folder: Path) -> None:
    calc = (
        _commit(ADA, WINTER, b"Add\n", _file(b"src/calc.py", CODE), _file(b"LICENSE", LICENCE)),
        b"tag v1\nfrom refs/heads/main\ntagger %s %d +0200\n" % (ADA, WINTER + 60) + _data(b"First\n"),
        _commit(BOB, SUMMER, b"Fix a bug\n\nIt was bad.\n", _file(b"src/calc.py", FIXED), by=ADA),
        _commit(
            ADA, SUMMER + 3600, b"Describe it\n", _file(b"README.md", README), _file(b"doc", b"README.md", b"120000")
        ),
    )  # fmt: skip
    tools = (_commit(BOB, SUMMER, b"Tools\n", _file(b"LICENSE", LICENCE), b"M 160000 %s vendor/calc\n" % (b"1" * 40)),)
    _repository(folder / CALC, *calc)
    _repository(folder / TOOLS, *tools)
    _repository(folder / FORK, *calc, _commit(BOB, SUMMER + 7200, b"Try\n", b"D doc\n"))


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, one_spark: None) -> Answers:
    """The folder of the repositories, their server, and the rows that answer each question."""
    served = tmp_path_factory.mktemp("served")
    make_repositories(served)
    archive = Archive.at(Place("local", str(tmp_path_factory.mktemp("archives"))), tmp_path_factory.mktemp("q"), "q")
    archive.init()
    with git_daemon(served) as daemon:
        root = daemon.url("").rstrip("/")
        origins = [f"{root}/{CALC}", f"{root}/{TOOLS}", f"{root}/{FORK} {root}/{CALC}", f"{root}/lost.git"]
        archive.run("origins", "add", "--from", "-", stdin="\n".join(origins))
        archive.run("nightly", "--night", str(night(1)))
    text = QUESTIONS.read_text().replace("https://example.org", root)
    statements = ";\n".join(query for _, query in SQL.findall(text))
    said = archive.run("sql", "-", "--output", "json", stdin=statements).stdout
    return Answers(served, root, [[list(row.values()) for row in rows] for rows in _documents(said)])


def _documents(text: str) -> Iterator[Any]:
    """The JSON documents of a text, one for each statement."""
    decoder, at = json.JSONDecoder(), 0
    while rest := text[at:].lstrip():
        found, end = decoder.raw_decode(rest)
        yield found
        at = len(text) - len(rest) + end


@dataclass(frozen=True)
class Answers:
    """Where the repositories lie and are served, and the rows that answer the questions, in order."""

    served: Path
    root: str
    rows: list[list[list[Any]]]

    def to(self, number: int) -> list[list[Any]]:
        """The answer to a question, without the server's address."""
        return [[self._short(value) for value in row] for row in self.rows[number - 1]]

    def _short(self, value: Any) -> Any:
        return value.removeprefix(f"{self.root}/") if isinstance(value, str) else value


def test_there_are_twenty() -> None:
    assert [int(number) for number, _ in SQL.findall(QUESTIONS.read_text())] == list(range(1, 21))


@pytest.mark.slow
def test_repositories(answers: Answers) -> None:
    calc = len(FIXED + LICENCE + README) + len("README.md")
    assert answers.to(1) == [
        [CALC, 4, calc, "Python"],
        [FORK, 3, calc - len("README.md"), "Python"],
        [TOOLS, 2, len(LICENCE), None],
    ]
    assert answers.to(2) == [[FORK]]
    assert answers.to(3) == [["v1", "2023-11-14T22:14:20Z"]]
    assert answers.to(4) == [["lost.git", "not_found", "not_found", 1]]
    assert answers.to(5) == [[str(night(1)), "full", 3, 20], [str(night(1)), "not_found", 1, 0]]


def test_people(answers: Answers) -> None:
    assert answers.to(6) == [["bob@example.org", 3], ["ada@example.org", 2]]
    assert answers.to(7) == [[2023, 1, 1], [2024, 2, 4]]
    assert answers.to(8) == [[0, 1], [11, 2], [12, 1], [13, 1]]
    assert answers.to(9) == [["ada@example.org", 1]]


def test_commits(answers: Answers) -> None:
    def tip(name: str) -> str:
        return resolve(answers.served / name, "main")

    assert answers.to(10) == [[5, 0, 0]]
    assert answers.to(11) == [[resolve(answers.served / CALC, "main~1"), "Fix a bug"]]
    subjects = {CALC: "Describe it", FORK: "Try", TOOLS: "Tools"}
    found = {origin: (ref, subject) for origin, ref, _, subject in answers.to(12)}
    assert found == {origin: ("refs/heads/main", subject) for origin, subject in subjects.items()}


def test_files(answers: Answers) -> None:
    listed = git(answers.served / CALC, "ls-tree", "-r", "main").decode().splitlines()
    assert answers.to(13) == [[line.split("\t")[1], line.split()[0], line.split()[2]] for line in listed]
    assert answers.to(14) == [
        ["Python", 1, len(FIXED), 3],
        [None, 2, len(LICENCE) + len("README.md"), 1],
        ["Markdown", 1, len(README), 3],
    ]
    assert answers.to(15)[0] == ["LICENSE", 3]
    assert answers.to(16)[0] == [CALC, "src/calc.py", len(FIXED)]
    assert [row[1:] for row in answers.to(17)] == [["LICENSE", 2]]
    assert answers.to(18) == [[CALC, "symlink", 1], [TOOLS, "submodule", 1]]


def test_contents(answers: Answers) -> None:
    assert answers.to(19) == [[CALC, "src/calc.py"], [FORK, "src/calc.py"]]
    assert answers.to(20) == [["calc.py", 1]]
