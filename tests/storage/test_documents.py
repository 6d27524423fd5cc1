"""Small JSON files: whole, damaged, or not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from pipeline.storage.documents import read_if_whole
from pipeline.storage.local import LocalStorage


class Record(BaseModel):
    """A record."""

    number: int


@pytest.mark.parametrize(
    ("data", "number", "said"),
    [(None, None, ""), (b'{"number": 3}', 3, ""), (b'{"numb', None, "a.json cannot be read"), (b"{}", None, "a.json")],
)
def test_what_is_missing_or_damaged_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes | None, number: int | None, said: str
) -> None:
    storage = LocalStorage(tmp_path)
    if data is not None:
        storage.create("a.json", data)
    found = read_if_whole(storage, "a.json", Record)
    assert (found and found.number) == number
    assert bool(caplog.text) == bool(said)
    assert said in caplog.text
