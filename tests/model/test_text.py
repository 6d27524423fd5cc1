"""Text from bytes and names that anybody may have written is valid, and exact where it can be."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import tables
from pipeline.model.rows import commit_row, tag_row
from pipeline.model.text import CODECS, exact_text, text_and_raw, text_of, valid_text
from tests.model.strategies import HOSTILE

UNFIT = ["UTF-7", "utf_7", "UTF-16", "utf-32-le", "idna", "punycode", "raw_unicode_escape", "unicode_escape", "mbcs"]
UNFIT += ["cp037", "hex", "zip", "rot13", "undefined", "hz", "iso2022_kr", "x" * 10_000, "", "utf-8-sig"]
ENCODINGS = st.none() | st.sampled_from([*sorted(CODECS), *UNFIT, "ISO8859-1", "Windows-1251", "eucJP", "SJIS"])


def assert_valid(text: str) -> None:
    assert "\0" not in text
    assert pa.array([text], pa.string()).to_pylist() == [text]


@given(raw=st.binary(max_size=60) | st.text(max_size=20).map(str.encode), encoding=ENCODINGS)
def test_any_bytes_become_valid_text(raw: bytes, encoding: str | None) -> None:
    assert_valid(text_of(raw, encoding))
    text, exact = text_and_raw(raw)
    assert_valid(text)
    assert (text.encode() if exact is None else exact) == raw
    assert (exact_text(raw) is None) == (exact is not None)


@given(st.text(st.characters(), max_size=20))
def test_text_with_surrogates_becomes_valid(text: str) -> None:
    assert_valid(valid_text(text))
    assert len(valid_text(text)) <= len(text)


def test_valid_text_stays_as_it_is() -> None:
    assert valid_text("a \U0001f600 \ufffd\n") == "a \U0001f600 \ufffd\n"
    assert valid_text("a\udcff\0\ud83d") == "a\ufffd\ufffd\ufffd"


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_a_codec_leaves_ascii_alone_and_gives_no_surrogate(codec: str) -> None:
    plain = bytes(set(range(1, 128)) - {0x0E, 0x0F, 0x1B, 0x5C, 0x7E})
    assert text_of(plain, codec) == plain.decode()
    for byte in range(256):
        assert_valid(text_of(bytes([byte]), codec))
        assert_valid(text_of(bytes([0x1B, 0x24, 0x42, byte, 0x81, byte, 0x30, 0x81, byte]), codec))


@pytest.mark.parametrize("encoding", UNFIT)
def test_other_codecs_are_never_used(encoding: str) -> None:
    assert text_of(b"+2AAA- \\ud800 \xe9", encoding) == "+2AAA- \\ud800 \ufffd"


@pytest.mark.parametrize(
    ("encoding", "raw", "text"),
    [
        ("iso8859-15", b"\xa4", "€"),
        ("ISO_8859-2", b"\xb1", "ą"),
        ("Windows-1251", b"\xcf", "П"),
        ("CP1252", b"\x80\x81", "€\ufffd"),
        ("KOI8-R", b"\xf0", "П"),
        ("GB2312", b"\xd6\xd0", "中"),
        ("GBK", b"\xd6\xd0\xff", "中\ufffd"),
        ("gb18030", b"\x81\x30\x81\x30", "\x80"),
        ("Big5", b"\xa4\xa4", "中"),
        ("SHIFT-JIS", b"\x93\xfa", "日"),
        ("sjis", b"\x93\xfa", "日"),
        ("eucJP", b"\xc6\xfc", "日"),
        ("ISO-2022-JP", b"\x1b$BF|\x1b(B", "日"),
        ("EUC-KR", b"\xc7\xd1", "한"),
    ],
)
def test_declared_encodings_are_read(encoding: str, raw: bytes, text: str) -> None:
    assert text_of(raw, encoding) == text


@given(raw=HOSTILE)
def test_rows_of_any_bytes_fit_their_tables(raw: bytes) -> None:
    for row, table in (
        (commit_row(0, 1, b"i" * 20, raw), tables.COMMITS),
        (tag_row(0, 1, b"i" * 20, raw), tables.TAGS),
    ):
        for value, column in zip(row, table.columns, strict=True):
            pa.array([value], column.type).validate(full=True)


def test_the_commit_that_ended_every_night() -> None:
    """Git fsck finds nothing wrong with it; UTF-7 turns its message into lone surrogates."""
    people = b"author A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\nencoding UTF-7\n\n+2AA- \xff"
    row = commit_row(0, 1, b"i" * 20, b"tree " + b"a" * 40 + b"\n" + people)
    assert row[13] == "+2AA- \ufffd"
