"""What a copy lacks, in which order, and what it has too much."""

from __future__ import annotations

from pipeline.maintain.copy.plan import MOST_SKEW_S, File, Turn, missing, surplus
from pipeline.storage.interface import Entry

NOON = 1_800_000_000.0


def there(path: str, size: int, at: float = NOON) -> dict[str, Entry]:
    return {path: Entry(path, size, False, at)}


def test_what_names_others_comes_after_them() -> None:
    wanted = [File("a", 1, Turn.DOCUMENT), File("b", 1, Turn.MANIFEST_LIST), File("c", 1, Turn.MANIFEST)]
    wanted += [File("e", 1, Turn.DATA), File("d", 1, Turn.DATA)]
    assert "".join(file.path for file in missing(wanted, {})) == "decba"


def test_a_file_that_is_written_once_is_known_by_its_size() -> None:
    file = File("x", 3, Turn.DATA)
    assert missing([file], there("x", 3, at=0.0)) == []
    assert missing([file], there("x", 2)) == [file]


def test_a_file_that_may_be_replaced_is_copied_unless_the_copy_is_certainly_younger() -> None:
    file = File("x", 3, Turn.DOCUMENT, NOON)
    assert missing([file], there("x", 3, at=NOON + MOST_SKEW_S + 1)) == []
    assert missing([file], there("x", 3, at=NOON + MOST_SKEW_S - 1)) == [file]


def test_surplus() -> None:
    assert surplus({"a", "b"}, ["c", "b", "0"]) == ["0", "c"]
