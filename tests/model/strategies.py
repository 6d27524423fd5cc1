"""Pieces of commits and tags, in forms that git writes and in forms that it does not."""

from __future__ import annotations

from hypothesis import strategies as st

OIDS = st.binary(min_size=20, max_size=20)
# What git accepts in a name: no line end, no angle bracket, no NUL.
_TEXT = st.characters(exclude_characters="\n<>\0", codec="utf-8")
NAMES = st.text(_TEXT, max_size=20)
EMAILS = st.text(_TEXT, max_size=20)
TIMES = st.integers(0, 253402300799)
OFFSETS = st.integers(-99 * 60, 99 * 60 + 59)
MESSAGES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60)
HEADER_NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).filter(
    lambda name: name not in ("encoding", "gpgsig", "parent", "author", "committer", "tagger", "object", "type", "tag")
)
HEADER_VALUES = st.lists(st.text(st.characters(exclude_characters="\n\0", codec="utf-8"), max_size=20), min_size=1).map(
    "\n".join
)
EXTRA = st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=3)
SIGNATURES = st.none() | HEADER_VALUES

# Byte strings that begin like objects: real header lines, broken ones, and noise, in any order.
_LINE = st.sampled_from(
    [
        b"tree " + b"a" * 40,
        b"tree " + b"A" * 40,
        b"tree " + b"a" * 39,
        b"tree " + b"a" * 64,
        b"tree  " + b"a" * 39,
        b"tree " + b"a" * 38 + b" a",
        b"parent " + b"1" * 40,
        b"parent " + b"F" * 40,
        b"parent " + b"1" * 39,
        b"parent " + b"1" * 41,
        b"parent " + b"1 " * 20,
        b"parent " + b"11 " * 20,
        b"parent " + b"1" * 40 + b" ",
        b"parent zz",
        b"parent",
        b"object " + b"0" * 40,
        b"object " + b"0" * 38 + b"\t0",
        b"object " + b"D" * 40,
        b"object " + b"d" * 41,
        b"object zz",
        b"type commit",
        b"type",
        b"tag v1",
        b"author A <a@b> 1 +0000",
        b"author A <a@b> 1 -0000",
        b"author <a@b> 1 +0000",
        b"author A <a> b> 1 +0000",
        b"committer A <a@b> 1 +051800",
        b"committer A <a@b> -1 +0100",
        b"committer A <a@b> 99999999999999999999 +0100",
        b"committer A <a@b> 253402300800 +0100",
        b"committer A <a@b> 007 +0100",
        b"committer A <a@b> None ",
        b"committer A <a@b> 1 +0175",
        b"tagger A <a@b>",
        b"tagger A <a@b> 1 +0100",
        b"tagger \xe9 <a@b> 1 +0100",
        b"author \xe9 <a@b> 1 +0100",
        b"encoding ISO-8859-1",
        b"encoding UTF-16",
        b"encoding UTF-7",
        b"encoding GB18030",
        b"encoding iso-2022-jp",
        b"+2AAA- \x1b$B\xff",
        b"encoding hex",
        b"encoding " + b"x" * 5000,
        b"gpgsig -----BEGIN",
        b"gpgsig",
        b" folded",
        b" ",
        b"",
        b"x\0y",
        b"\r",
    ]
)
HOSTILE = st.binary(max_size=300) | st.lists(_LINE | st.binary(max_size=20), max_size=12).map(b"\n".join)
