"""Which content a function failed on, and going on without it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha1
from typing import Any, cast

import pyarrow as pa
import pytest

from pipeline.storage.errors import StoredFileDamaged
from pipeline.tables.content_guard import SMALLEST, BadContent, Content, Guard, Skipped, count_skipped


def batches(*contents: list[bytes]) -> Iterator[pa.RecordBatch]:
    number = 0
    for each in contents:
        numbers = range(number, number + len(each))
        number += len(each)
        yield pa.RecordBatch.from_pydict(
            {"content": each, "network": [7] * len(each), "oid": [bytes([at] * 20) for at in numbers]}
        )


def numbers(given: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in given:
        assert batch.schema.names == ["content"]
        yield pa.RecordBatch.from_pydict({"n": [int(content) for content in batch.column(0).to_pylist()]})


def values(found: Iterable[pa.RecordBatch]) -> list[int]:
    return [n for batch in found for n in batch.column(0).to_pylist()]


class Counted:
    def __init__(self) -> None:
        self.value: dict[Any, str] = {}

    def add(self, more: dict[Any, str]) -> None:
        self.value |= more


def test_columns_that_name_a_content_are_read_and_not_given() -> None:
    assert Guard(numbers, ("content",)).read == ("content", "network", "oid")
    assert Guard(numbers, ("oid", "content")).read == ("oid", "content", "network")
    assert values(Guard(numbers, ("content",))(batches([b"1", b"2"], [b"3"]))) == [1, 2, 3]


def test_the_content_is_named_with_the_place_in_the_function() -> None:
    with pytest.raises(BadContent) as told:
        values(Guard(numbers, ("content",))(batches([b"1"], [b"2", b"x", b"y"])))
    assert (told.value.network, told.value.oid) == (7, "02" * 20)
    assert "ValueError: invalid literal" in told.value.problem
    assert f"{__file__}, line " in told.value.problem
    in_a_trace = f'Traceback\n  File "x"\nValueError: x\n\npipeline.BadContent: {told.value}\nmore\n'
    parsed = BadContent.parse(in_a_trace)
    assert parsed is not None
    assert (parsed.network, parsed.oid, parsed.problem) == (7, "02" * 20, told.value.problem)


def test_bad_ones_are_skipped_and_counted_once() -> None:
    skipped = Counted()
    guard = Guard(numbers, ("content",), cast(Skipped, skipped))
    for _ in range(2):
        assert values(guard(batches([b"1", b"x", b"2"], [b"3"], [b"y"]))) == [1, 2, 3]
    assert sorted(skipped.value) == [(7, "01" * 20), (7, "04" * 20)]


def test_damage_is_nobody_s_bad_content() -> None:
    def damaged() -> Iterator[pa.RecordBatch]:
        yield from batches([b"1"])
        raise StoredFileDamaged("a", "b")

    for skipped in (None, cast(Skipped, Counted())):
        with pytest.raises(StoredFileDamaged):
            values(Guard(numbers, ("content",), skipped)(damaged()))


def test_an_error_that_no_content_makes_alone_is_raised_as_it_is() -> None:
    def first_two(given: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for count, batch in enumerate(given):
            if count == 1:
                raise KeyError("second batch")
            yield batch

    with pytest.raises(KeyError, match="second batch"):
        values(Guard(first_two, ("content",))(batches([b"1"], [b"2"])))


def test_very_many_are_counted_by_the_smallest_ids() -> None:
    def skipped(count: int) -> dict[Content, str]:
        found: dict[Content, str] = {}
        for at in range(count):
            found = SMALLEST.addInPlace(found, {(at % 7, sha1(str(at).encode()).hexdigest()): "no"})
        twice = SMALLEST.addInPlace(found, dict(found))
        assert len(twice) < 2000
        return twice

    assert count_skipped({}) == (0, True)
    assert count_skipped(skipped(999)) == (999, True)
    about, exact = count_skipped(skipped(50_000))
    assert not exact
    assert 45_000 < about < 55_000
