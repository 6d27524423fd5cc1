"""Licence texts; of this project and made ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.night import licence
from pipeline.night.licence import MOST_BYTES, MOST_TEXTS, NAMES, Licence, Licences

APACHE = Path(__file__).parents[2].joinpath("LICENSE").read_bytes()
ISC = b"""\
Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby
granted, provided that the above copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL
IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN
AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR
PERFORMANCE OF THIS SOFTWARE.
"""


def licence_of(name: str, content: bytes) -> Licence | None:
    return Licences().of(5, name, content)


def test_a_text_is_found_and_its_copyright_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert licence_of("LICENSE", APACHE) == Licence("Apache-2.0", 1.0)
    without_appendix = licence_of("LICENSE", APACHE.partition(b"   APPENDIX:")[0])
    assert without_appendix is not None
    assert without_appendix.spdx_id == "Apache-2.0"
    first = licence_of("COPYING", b"Copyright (c) 2019 Jo Doe\n\n" + ISC)
    assert first is not None
    assert first.spdx_id == "ISC"
    assert first.confidence > 0.95
    monkeypatch.setattr(licence, "identify", None)  # the same text is not compared twice
    assert licence_of("LICENSE.txt", b"Copyright 2021-2026 \xff and others\n\n" + ISC) == first


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("main.c", APACHE),
        ("LICENSE", b""),
        ("LICENSE", b"Ask before you copy this.\n" * 50),
        ("LICENSE", b"\xff\xfe" * 100),
        ("LICENSE", b"\0" + APACHE),
        ("LICENSE", APACHE + b" " * MOST_BYTES),
    ],
)
def test_what_is_no_licence_file(name: str, content: bytes) -> None:
    assert licence_of(name, content) is None


def test_a_comparison_that_fails_costs_no_night(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):  # as Rust's bindings raise it
        pass

    def fail(text: str) -> None:
        raise PanicException

    monkeypatch.setattr(licence, "identify", fail)
    assert licence_of("LICENSE", b"some text that no other test compares " * 9) is None


def test_only_so_many_texts_of_a_network_are_compared(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compared = list[str]()

    def match(text: str) -> Licence:
        compared.append(text)
        return Licence("MIT", 1.0)

    monkeypatch.setattr(licence, "_matched", match)
    task = Licences()
    texts = [b"made text %6d " % at * 9 for at in range(MOST_TEXTS + 2)]
    found = [task.of(5, "LICENSE", text) for text in texts]
    assert (len(compared), found[-3:]) == (MOST_TEXTS, [Licence("MIT", 1.0), None, None])
    assert task.of(5, "LICENSE", texts[0]) == Licence("MIT", 1.0)
    assert task.of(6, "LICENSE", texts[-1]) == Licence("MIT", 1.0)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["network 5"]


def test_short_texts_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    diffmark = b"1. you can do what you want with it\n2. I refuse any responsibility for the consequences"
    found = licence_of("COPYING", diffmark)
    assert found is not None
    assert found.spdx_id == "diffmark"
    monkeypatch.setattr(licence, "identify", None)
    assert licence_of("COPYING", b"Copyright 2020 x\n" * 20 + b"See the README.") is None


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("LICENSE", True), ("licence.md", True), ("COPYING.LESSER", True), ("LICENSE-MIT", True), ("UNLICENSE", True),
        ("GPL-3.0-or-later.txt", True), ("MIT.txt", True), ("mit-license.txt", True), ("jquery-license.txt", True),
        ("licenses.py", False), ("README", False), ("relicense", False), ("MITM.txt", False), ("copyings", False),
    ],
)  # fmt: skip
def test_names(name: str, is_one: bool) -> None:
    assert (re.search(NAMES, name) is not None) == is_one
