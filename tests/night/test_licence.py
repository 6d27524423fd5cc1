"""Licence texts; of this project and made ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.night import licence
from pipeline.night.licence import MOST_BYTES, NAMES, Licence, licence_of

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
    assert licence_of("LICENSE", b"some text that no other test compares") is None


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
