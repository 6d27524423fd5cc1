"""Answers of newcomers come back as they were, whatever refs are called."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pipeline.model.layout import Load
from pipeline.night.answers import keep_answers, read_answers
from pipeline.rules.kinship import Tip, Tips
from pipeline.storage.local import LocalStorage

LOAD = Load.of_night(date(2026, 11, 3))
ONE = {
    "https://a.example/x": Tips((Tip(b"refs/heads/\xff\xc3\xa9", b"t" * 20, b"c" * 20),)),
    "https://a.example/y": Tips(),
}
TWO = {"https://a.example/z": Tips((Tip(b"HEAD", b"h" * 20, b"h" * 20),))}


def test_files_come_back_in_their_order(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    assert list(read_answers(storage, LOAD)) == []
    keep_answers(storage, LOAD, 1, ONE)
    keep_answers(storage, LOAD, 2, TWO)
    assert list(read_answers(storage, LOAD)) == [ONE, TWO]


def test_who_is_in_a_damaged_file_is_asked_again(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    keep_answers(storage, LOAD, 1, ONE)
    keep_answers(storage, LOAD, 2, TWO)
    storage.replace(LOAD.newcomers(1), b'[{"origin": "https://a.exam')
    assert list(read_answers(storage, LOAD)) == [{}, TWO]
