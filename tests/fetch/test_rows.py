"""Whatever a commit or tag holds, its row can be written, and gives back the exact object."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fetch.batches import Batches
from pipeline.fetch.known import Known
from pipeline.fetch.landing import Landing
from pipeline.fetch.rows import blob_names, commit_row, is_binary, tag_row
from pipeline.git.pack_format import COMMIT, TAG
from pipeline.model import tables
from pipeline.model.text import text_and_raw
from pipeline.storage.local import LocalStorage
from tests.git.packs import oid_of
from tests.model.strategies import HOSTILE

WHO = b"A <a@b> 1 +0000"
CODECS = [
    b"utf-7",
    b"unicode_escape",
    b"raw_unicode_escape",
    b"utf-16",
    b"punycode",
    b"idna",
    b"rot13",
    b"hex",
    b"utf-8-sig",
]
ODD = st.builds(
    lambda codec, text: b"tree %s\nauthor %s\ncommitter %s\nencoding %s\n\n%s" % (b"a" * 40, WHO, WHO, codec, text),
    st.sampled_from(CODECS),
    st.binary(max_size=20)
    | st.sampled_from([b"+2AA-", b"\\ud800", b"\\N{DIGIT ONE}", b"\xff\xfe\x00\xd8", b"xn--a", b"\0"]),
)


def round_trip(commits: list[bytes], tags: list[bytes]) -> dict[bytes, tuple[int, bytes]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        landing = Landing(folder / "landing", run_bytes=1000)
        rows = Batches(landing.append)
        for body in commits:
            rows.add(tables.COMMITS, commit_row(0, 7, oid_of(COMMIT, body), body), len(body))
        for body in tags:
            rows.add(tables.TAGS, tag_row(0, 7, oid_of(TAG, body), body), len(body))
        rows.flush()
        files = {f.table: [f"landing/{f.path.name}"] for f in landing.finish()}
        ids = [oid_of(COMMIT, body) for body in commits] + [oid_of(TAG, body) for body in tags]
        found = Known(LocalStorage(folder), files).load(7, ids, {COMMIT, TAG})
        return {oid: (kind, body) for oid, kind, body in found}


@given(commits=st.lists(HOSTILE | ODD, max_size=8, unique=True), tags=st.lists(HOSTILE, max_size=8, unique=True))
def test_rows_give_back_the_exact_object(commits: list[bytes], tags: list[bytes]) -> None:
    expected = {oid_of(COMMIT, body): (COMMIT, body) for body in commits}
    expected |= {oid_of(TAG, body): (TAG, body) for body in tags}
    assert round_trip(commits, tags) == expected


def test_bytes_come_back_before_1970_and_to_the_last_second_of_9999() -> None:
    times = [-62135596800, -1, 0, 1, 253402300799, 253402300800, 1 << 62, -(1 << 62)]
    commits = [
        b"tree %s\nauthor A <a@b> %d +0000\ncommitter A <a@b> %d -9959\n\nm" % (b"a" * 40, time, time) for time in times
    ]
    assert {body for _, body in round_trip(commits, []).values()} == set(commits)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, ("", "")),
        (b"", ("", "")),
        (b"main.PY", ("main.PY", "py")),
        (b".gitignore", (".gitignore", "")),
        (b"caf\xe9.txt", ("caf\ufffd.txt", "txt")),
        (b"archive.tar.gz", ("archive.tar.gz", "gz")),
    ],
)
def test_names_of_blobs(name: bytes | None, expected: tuple[str, str]) -> None:
    assert blob_names(name) == expected


def test_binary_by_gits_own_rule() -> None:
    assert is_binary(b"x" * 7999 + b"\0")
    assert not is_binary(b"x" * 8000 + b"\0")
    assert not is_binary(b"")


@given(name=st.binary(max_size=30))
def test_a_name_and_its_bytes(name: bytes) -> None:
    text, raw = text_and_raw(name)
    assert (text.encode() if raw is None else raw) == name
    assert text.isascii() or text.encode()
