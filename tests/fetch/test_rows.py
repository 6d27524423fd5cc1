"""Whatever an object holds, its row can be written, and the exact object can be rebuilt from it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fetch.batches import Batches, in_arrow
from pipeline.fetch.landing import Landing
from pipeline.model.objects import GitObject, ObjectType
from pipeline.model.rows import CODECS, ContentRow, Row, TreeRow, commit_row, tag_row
from pipeline.storage.local import LocalStorage
from tests.fetch.archive import known_ids
from tests.git.packs import oid_of
from tests.model.strategies import HOSTILE

WHO = b"A <a@b> 1 +0000"
ODD_ENCODINGS = [
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
    st.sampled_from(ODD_ENCODINGS),
    st.binary(max_size=20)
    | st.sampled_from([b"+2AA-", b"\\ud800", b"\\N{DIGIT ONE}", b"\xff\xfe\x00\xd8", b"xn--a", b"\0"]),
)


def row_of(found: GitObject) -> Row:
    place, body = (0, 7, found.oid), found.body
    match found.type:
        case ObjectType.COMMIT:
            return commit_row(*place, body)
        case ObjectType.TAG:
            return tag_row(*place, body)
        case ObjectType.TREE:
            return TreeRow(*place, at_head=True, content=body)
        case ObjectType.BLOB:
            return ContentRow(*place, size=len(body), ext="", name="", at_head=False, content=body)


def objects_of(type_: ObjectType, bodies: st.SearchStrategy[bytes]) -> st.SearchStrategy[GitObject]:
    return bodies.map(lambda body: GitObject(type_, oid_of(type_, body), body))


OBJECTS = st.one_of([objects_of(type_, HOSTILE) for type_ in ObjectType]) | objects_of(ObjectType.COMMIT, ODD)


def round_trip(objects: list[GitObject]) -> list[GitObject]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        landing = Landing(folder / "landing", run_bytes=1000)
        rows = Batches(in_arrow(landing.append))
        table_of = {codec.type: codec.table for codec in CODECS.values()}
        for found in objects:
            rows.add(table_of[found.type], row_of(found), len(found.body))
        rows.flush()
        files = [(file.table, f"landing/{file.path.name}") for file in landing.finish()]
        known = known_ids(LocalStorage(folder), files)
        return list(known.load(7, [found.oid for found in objects], set(ObjectType)))


@pytest.mark.slow
@given(objects=st.lists(OBJECTS, max_size=16, unique=True))
def test_rows_give_back_the_exact_object(objects: list[GitObject]) -> None:
    assert sorted(round_trip(objects)) == sorted(objects)


def test_bytes_come_back_before_1970_and_to_the_last_second_of_9999() -> None:
    times = [-62135596800, -1, 0, 1, 253402300799, 253402300800, 1 << 62, -(1 << 62)]
    bodies = [
        b"tree %s\nauthor A <a@b> %d +0000\ncommitter A <a@b> %d -9959\n\nm" % (b"a" * 40, time, time) for time in times
    ]
    commits = [GitObject(ObjectType.COMMIT, oid_of(ObjectType.COMMIT, body), body) for body in bodies]
    assert sorted(round_trip(commits)) == sorted(commits)
