from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.model.errors import CheckFailed
from pipeline.model.tag import Tag, build_tag, parse_tag
from tests.model.strategies import EMAILS, EXTRA, HOSTILE, MESSAGES, NAMES, OFFSETS, OIDS, SIGNATURES, TIMES

HEAD = "object " + "ab" * 20 + "\ntype commit\ntag v1\n"
TAGGER = "tagger T Agger <t@example.com> 1700000000 -0800\n"
PLAIN = (HEAD + TAGGER + "\nmessage\n").encode()

LINES = NAMES  # any text without a line end
TAGGED = st.builds(
    Tag,
    target=OIDS,
    target_type=st.sampled_from(["commit", "tree", "blob", "tag"]),
    name=LINES,
    tagger_name=NAMES,
    tagger_email=EMAILS,
    tagger_time=TIMES,
    tagger_offset=OFFSETS,
    message=MESSAGES,
    signature=SIGNATURES,
    extra=EXTRA,
    raw=st.none(),
)


@given(TAGGED)
def test_columns_alone_hold_what_git_writes(tag: Tag) -> None:
    assert parse_tag(build_tag(tag)) == tag


@given(TAGGED)
def test_an_old_tag_has_no_tagger(tag: Tag) -> None:
    old = tag._replace(tagger_name=None, tagger_email=None, tagger_time=None, tagger_offset=None)
    assert parse_tag(build_tag(old)) == old


@given(HOSTILE)
@example(b"")
@example(b"\n\n")
def test_any_bytes_come_back_exactly(raw: bytes) -> None:
    tag = parse_tag(raw)
    assert build_tag(tag) == raw
    assert tag.raw is not None or tag.target is not None


def test_every_column() -> None:
    message = "subject\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
    raw = (HEAD + TAGGER + "note x\n y\ngpgsig a\n b\n\n" + message).encode()
    assert parse_tag(raw) == Tag(
        target=b"\xab" * 20,
        target_type="commit",
        name="v1",
        tagger_name="T Agger",
        tagger_email="t@example.com",
        tagger_time=1700000000,
        tagger_offset=-480,
        message=message,
        signature="a\nb",
        extra=[("note", "x\ny")],
        raw=None,
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"-0800", b"-0000"),
        (b" 1700000000 -0800", b""),
        (b"1700000000", b"99999999999999"),
        (b"ab" * 20, b"AB" * 20),
        (b"v1", b"\xe9"),
        (b"message", b"mess\0age"),
        (b"\n\nmessage\n", b"\n"),
        (b"type commit\n", b""),
    ],
)
def test_what_columns_cannot_hold_keeps_its_bytes(old: bytes, new: bytes) -> None:
    raw = PLAIN.replace(old, new)
    assert raw != PLAIN
    tag = parse_tag(raw)
    assert tag.raw == raw


def test_a_tagger_without_a_date_is_still_named() -> None:
    tag = parse_tag(PLAIN.replace(b" 1700000000 -0800", b""))
    assert (tag.tagger_name, tag.tagger_email, tag.tagger_time) == ("T Agger", "t@example.com", None)


def test_text_that_is_not_utf8_is_readable() -> None:
    tag = parse_tag(PLAIN.replace(b"message", b"\xe9 \xc3\xa9").replace(b"v1", b"v\xff"))
    assert (tag.message, tag.name, tag.target) == ("\ufffd é\n", "v\ufffd", b"\xab" * 20)


def test_building_from_incomplete_columns_is_refused() -> None:
    with pytest.raises(CheckFailed):
        build_tag(parse_tag(PLAIN)._replace(tagger_offset=None))
