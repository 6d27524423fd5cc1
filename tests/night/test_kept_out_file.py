"""The file of what no visit may be led to, beside a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.model.layout import Load
from pipeline.model.pattern import OptOuts, Pattern
from pipeline.night.kept_out import read_kept_out, write_kept_out
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.local import LocalStorage
from tests.e2e.archive import night

LOAD = Load.of_night(night(1))
RULES = OptOuts(
    map(
        Pattern.of,
        (
            "https://host/foo",
            "git://host/foo.git",
            "https://host/foo-bar",
            "https://host/owner/*",
            "https://host/owner/x/*",
            "https://whole.example/*",
            "https://m\u00fcnchen.example/%22%0A%5B/\u00e9",
            "https://zz.example/z",
        ),
    )
)
URLS = (
    "https://a.example/a",
    "https://host",
    "http://HOST.:80/foo.git",
    "https://host/fo",
    "https://host/foo/bar",
    "https://host/foo-bar",
    "https://host/foo-",
    "https://host/owner",
    "https://host/owner/x/y",
    "https://whole.example/a/b",
    "https://xn--mnchen-3ya.example/%22%0a[/%C3%89",
    "https://zz.example/z",
    "https://zzz.example/z",
)


def test_it_is_searched_as_the_rules_are(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    read = read_kept_out(storage, LOAD, write_kept_out(storage, LOAD, RULES))
    assert read
    assert set(read) == set(RULES)
    assert [read.rule_for(url.lower()) for url in URLS] == [RULES.rule_for(url.lower()) for url in URLS]
    assert sum(read.rule_for(url.lower()) is not None for url in URLS) == 6


def test_a_plan_without_rules_needs_no_file(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    assert not read_kept_out(storage, LOAD, write_kept_out(storage, LOAD, ()))
    assert storage.stat(LOAD.plan_kept_out) is None


def test_what_was_not_written_is_not_taken_for_the_rules(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    written = write_kept_out(storage, LOAD, RULES)
    data = storage.read(LOAD.plan_kept_out)
    storage.replace(LOAD.plan_kept_out, data[: data.index(b"\n")])
    with pytest.raises(StoredFileDamaged, match="checksum"):
        read_kept_out(storage, LOAD, written)
    storage.delete(LOAD.plan_kept_out)
    with pytest.raises(FileMissing):
        read_kept_out(storage, LOAD, written)
