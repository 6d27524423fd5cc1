"""Files of events may be made by anybody: they name repositories, or lines are counted, or the file is refused."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fetch.forges import events
from pipeline.fetch.forges.cursor import BadPage
from pipeline.fetch.forges.events import Changed, read_events
from pipeline.fetch.forges.hours import hour_of
from tests.support.hours import day, event, packed

HOUR = hour_of(day(3))


def read(body: bytes, largest: int = 1 << 24) -> tuple[dict[Changed, datetime], dict[str, int]]:
    return read_events(BytesIO(body), HOUR, largest)


def test_what_says_that_refs_changed_names_its_repository_once_with_the_last_time() -> None:
    found, bad = read(
        packed(
            [
                event(1, "o/a", day(3, 10)), event(1, "o/a", day(3, 40)), event(1, "o/a", day(3, 20)),
                event(2, "o/b", day(3), "CreateEvent"), event(3, "o/c", day(3), "DeleteEvent"),
                event(4, "o/d", day(3), "PublicEvent"), event(5, "o/e", day(3), "WatchEvent"),
                event(6, "o/f", day(3), "IssuesEvent", payload={"title": '"PushEvent"', "type": "PushEvent"}),
                event(7, "o/g", day(9)), event(1, "o/new", day(3, 50)),
                event(8, "o/h", day(3), repo={"name": "o/h"}),
                event(9, "o/i", day(3), "CreateEvent", repo={"name": "o/i"}),
            ]
        )
    )  # fmt: skip
    assert found == {
        Changed(1, "o/a"): day(3, 40), Changed(2, "o/b"): day(3), Changed(3, "o/c"): day(3), Changed(4, "o/d"): day(3),
        Changed(7, "o/g"): day(4), Changed(1, "o/new"): day(3, 50), Changed(8, "o/h"): day(3),
        Changed(0, "o/i"): day(3),
    }  # fmt: skip
    assert bad == {}


def test_lines_that_cannot_be_used_are_counted_and_the_others_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LONGEST_LINE", 3_000)
    monkeypatch.setattr(events, "_PIECE", 1_000)
    good = json.dumps(event(1, "o/a", day(3))).encode()
    word = b'"PushEvent"'
    long = b'{"x": "' + b"x" * 9_000 + b'", "type": ' + word + b"}"
    lines = [
        long, good, b"{" + word, b"[" + word + b"]", b"[" * 900 + word, b'{"type": ' + word + b"}", b"\xff" + word,
        json.dumps(event(1, "o/a", day(3), created_at="yesterday")).encode(), b"", b"\0", b"null",
        json.dumps(event(1, "o/\n", day(3))).encode(), b'{"type": ' + word + b', "n": ' + b"9" * 5_00 + b"0" * 2_000,
        good, long,
    ]  # fmt: skip
    for body in (b"\n".join(lines), b"\r\n".join(lines) + b"\n"):
        found, bad = read(gzip.compress(body))
        assert found == {Changed(1, "o/a"): day(3)}
        assert bad == {"bad line": 4, "long line": 2, "no object": 1, "no repository": 2, "no time": 1}


def parts(count: int) -> bytes:
    return b"".join(gzip.compress(json.dumps(event(n, f"o/{n}", day(3))).encode() + b"\n") for n in range(1, count + 1))


def test_files_in_parts_with_padding_and_plain_ones_are_read() -> None:
    plain = json.dumps(event(1, "o/1", day(3))).encode()
    for body, count in ((parts(3), 3), (parts(3) + b"\0" * 512, 3), (plain, 1), (b"", 0), (gzip.compress(b""), 0)):
        assert len(read(body)[0]) == count


BOMB = gzip.compress(b"\n" * (2 << 20))
REFUSED = {
    "not gzip": (b"\x1f\x8b\x08nothing", "cannot be decompressed"),
    "cut short": (packed([event(1, "o/a", day(3))])[:-9], "ends too early"),
    "a wrong checksum": (packed([])[:-8] + b"12345678", "cannot be decompressed"),
    "something after it": (packed([]) + b"xyz", "cannot be decompressed"),
    "a bomb": (gzip.compress(b" " * (2 << 20)), "exceeds 1,000,000 bytes"),
    "many lines": (gzip.compress(b"\n" * 500), "more than 99 lines"),
    "many repositories": (packed([event(n, "o/a", day(3)) for n in range(60)]), "more than 50 repositories"),
    "many parts": (gzip.compress(b"") * 30, "more than 20 parts"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_damaged_or_exceeds_a_limit_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_LINES", 99)
    monkeypatch.setattr(events, "MOST_REPOSITORIES", 50)
    monkeypatch.setattr(events, "MOST_MEMBERS", 20)
    body, why = REFUSED[name]
    with pytest.raises(BadPage, match=why):
        read(body, 1_000_000)


def test_a_long_line_takes_no_more_memory_than_a_short_one() -> None:
    body = gzip.compress(b"\0" * (96 << 20))
    tracemalloc.start()
    try:
        assert read(body, 1 << 30) == ({}, {"long line": 1})
        assert tracemalloc.get_traced_memory()[1] < 4 * events.LONGEST_LINE
    finally:
        tracemalloc.stop()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["PushEvent", "o/a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TIMES = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat())
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["PushEvent", "DeleteEvent", "ForkEvent"]) | JSON,
        "repo": st.fixed_dictionaries({}, optional={"id": st.integers() | JSON, "name": st.just("o/a") | JSON}) | JSON,
        "payload": st.fixed_dictionaries({"repository_id": JSON}) | JSON,
        "created_at": TIMES | JSON,
    },
)
LINES = st.one_of(
    EVENTS.map(lambda found: json.dumps(found).encode()),
    JSON.map(lambda found: json.dumps(found).encode()),
    st.binary(max_size=40).map(lambda some: b'"PushEvent"' + some),
    st.binary(max_size=40),
)


def is_good(line: bytes) -> bool:
    """Whether an event may be used, said in another way than the reader does."""
    try:
        found: Any = json.loads(line)
        moment = datetime.fromisoformat(found["created_at"])
        name, kind = found["repo"]["name"], found["type"]
        moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        is_named = isinstance(name, str) and name.isprintable() and 0 < len(name) < 256
        return isinstance(kind, str) and kind in ("PushEvent", "DeleteEvent") and is_named
    except (ValueError, TypeError, KeyError, IndexError, OverflowError):
        return False


@given(st.lists(LINES, max_size=8), st.integers(1, 64), st.booleans())
def test_any_lines_are_read_or_counted(lines: list[bytes], piece: int, compressed: bool) -> None:
    body = b"\n".join(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "_PIECE", piece)
        try:
            found, bad = read(gzip.compress(body) if compressed else b"\n" + body)
        except BadPage:
            raise AssertionError("a whole file is never refused for what its lines say") from None
    good = [line for line in body.split(b"\n") if is_good(line)]
    assert bool(found) == bool(good)
    assert len(found) + sum(bad.values()) <= len(body.split(b"\n"))
    for changed, moment in found.items():
        assert moment <= day(4)
        assert changed.name.isprintable()
        assert 0 <= changed.id < 2**63


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_a_file_or_refused(body: bytes, gzipped: bool) -> None:
    compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    head = compressor.compress(b"x" * 99)[:10] if gzipped else b""
    try:
        found, _ = read(head + body, 10_000)
    except BadPage:
        return
    assert found == {}
