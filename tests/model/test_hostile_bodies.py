"""Commits, tags and trees that blow up: memory stays a small multiple of the body, and time is linear in its length."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest

from pipeline.model.commit import build_commit, parse_commit
from pipeline.model.headers import MOST_HEADER_BYTES, MOST_HEADER_LINES, MOST_TEXT_BYTES
from pipeline.model.tag import build_tag, parse_tag
from pipeline.model.text import CODECS
from pipeline.model.tree import entries_before_damage

MIB = 1 << 20
TREE = b"tree " + b"a" * 40 + b"\n"
PEOPLE = b"author A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n"
HEAD = TREE + PEOPLE
TAG = b"object " + b"a" * 40 + b"\ntype commit\ntag x\ntagger A <a@b> 1 +0000\n"

BODIES: dict[str, Callable[[int], bytes]] = {
    "empty lines of headers": lambda n: HEAD + b"x\n" * (n // 2) + b"\nm",
    "folded lines": lambda n: HEAD + b"gpgsig x\n" + b" \n" * (n // 2) + b"\nm",
    "headers that are no UTF-8": lambda n: HEAD + b"\xff\n" * (n // 2) + b"\nm",
    "no message": lambda n: HEAD + b"x\n" * (n // 2),
    "bad parents": lambda n: TREE + b"parent z\n" * (n // 9) + PEOPLE + b"\nm",
    "parents": lambda n: TREE + (b"parent " + b"1" * 40 + b"\n") * (n // 48) + PEOPLE + b"\nm",
    "one encoding": lambda n: HEAD + b"encoding " + b"x" * n + b"\n\n\xff",
    "many encodings": lambda n: HEAD + b"encoding x\n" * (n // 11) + b"\n\xff",
    "a long author": lambda n: TREE + b"author " + b"<" * n + b"\ncommitter " + b"> " * 9 + b"\n\n\xff",
    "a long zone": lambda n: TREE + b"author a <b> 1 " + b"+" * n + b"\n\nm",
    "a long time": lambda n: TREE + b"author a <b> " + b"1" * n + b" +0000\n\nm",
    "a message of NUL": lambda n: HEAD + b"\n" + b"\0" * n,
    "a message of one long character": lambda n: HEAD + b"\n" + "\U0001f600".encode() + b"m" * n,
    "blank lines": lambda n: HEAD + b"\n" * n,
    "only line ends": lambda n: b"\n" * n,
    "no line end": lambda n: b"x" * n,
    "an object and lines": lambda n: b"object " + b"a" * 40 + b"\ntype commit\ntag x\n" + b"y\n" * (n // 2) + b"\nm",
    "folded tag name": lambda n: b"object " + b"a" * 40 + b"\ntype commit\ntag x\n" + b" \n" * (n // 2) + b"\nm",
}


@pytest.mark.parametrize("shape", BODIES)
def test_memory_is_a_small_multiple(shape: str) -> None:
    raw = BODIES[shape](4 * MIB)
    for parse, build in ((parse_commit, build_commit), (parse_tag, build_tag)):
        tracemalloc.start()
        try:
            found = parse(raw)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 9 * len(raw)
        assert len(found.extra) <= MOST_HEADER_LINES
        assert build(found) == raw  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", BODIES)
def test_time_follows_the_length(shape: str) -> None:
    """A body of sixteen times the length takes far less than the 256 times of a quadratic step."""
    assert grows(lambda raw: (parse_commit(raw), parse_tag(raw)), BODIES[shape], MIB // 4) < 80


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_decoders_take_time_that_follows_the_length(codec: str) -> None:
    start = HEAD + b"encoding " + codec.encode() + b"\n\n"
    for unit in (b"\xff", b"\x80", b"\x81", b"\x81\x30", b"\xa1\xff", b"\x1b$B", b"\x8f\xa1", b"\x84\x31\xa4\x37"):
        assert grows(parse_commit, lambda n, unit=unit: start + unit * (n // len(unit)), 1 << 14) < 80  # type: ignore[misc]


TREES: dict[str, Callable[[int], bytes]] = {
    "digits": lambda n: b"1" * n,
    "digits of a mode": lambda n: b"1" * n + b" x\0" + b"i" * 20,
    "a long name": lambda n: b"100644 " + b"x" * n,
    "no end": lambda n: b"100644 x\0" * (n // 9),
    "entries": lambda n: (b"100644 x\0" + b"i" * 20) * (n // 29),
    "small entries": lambda n: (b"0 x\0" + b"\0" * 20) * (n // 24),
}


@pytest.mark.parametrize("shape", TREES)
def test_trees_are_read_in_linear_time_and_bounded_memory(shape: str) -> None:
    def read(raw: bytes) -> int:
        return sum(1 for _ in entries_before_damage(raw))

    assert grows(read, TREES[shape], MIB // 8) < 80
    raw = TREES[shape](8 * MIB)
    tracemalloc.start()
    try:
        read(raw)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(raw)


def grows(work: Callable[[bytes], object], body: Callable[[int], bytes], size: int) -> float:
    """How many times the CPU time of this thread a body of sixteen times the length takes, best of three."""

    def best(raw: bytes) -> float:
        took = []
        for _ in range(3):
            began = time.thread_time()
            work(raw)
            took.append(time.thread_time() - began)
        return min(took)

    return best(body(16 * size)) / max(best(body(size)), 0.0005)


@pytest.mark.parametrize("shape", BODIES)
def test_text_beside_raw_is_bounded(shape: str) -> None:
    """The text that is read for people is bounded, however long the body; each byte may become three."""
    raw = BODIES[shape](16 * MIB)
    for parse in (parse_commit, parse_tag):
        found = parse(raw)
        if found.raw is not None:
            texts = [text for text in found if isinstance(text, str)] + [text for pair in found.extra for text in pair]
            assert sum(len(text.encode()) for text in texts) < 3 * (MOST_HEADER_BYTES + MOST_TEXT_BYTES)


def test_a_message_is_text_up_to_its_limit() -> None:
    for parse in (parse_commit, parse_tag):
        start = HEAD if parse is parse_commit else TAG
        assert parse(start + b"\n" + b"m" * MOST_TEXT_BYTES).raw is None
        longer = start + b"\n" + b"m" * (MOST_TEXT_BYTES + 1)
        assert (parse(longer).raw, parse(longer).message) == (longer, "m" * MOST_TEXT_BYTES)
