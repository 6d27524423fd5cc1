"""How hard zstd searches depends on a page's size, and what is compressed comes back."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from pipeline.fetch.page_compression import How, PageCompressor, Unpacking, compacting, landing
from pipeline.fetch.parquet import ZSTD_LEVEL

LEVEL, WINDOW_LOG, HASH_LOG, CHAIN_LOG, SEARCH_LOG, STRATEGY = 100, 101, 102, 103, 104, 107
"""Parameters, by their numbers in ``zstd.h``."""

GREEDY = 3


def test_a_small_landed_page_is_searched_less() -> None:
    history = [landing(size << 20, False) for size in (1, 16, 17)]
    heads = [landing(size << 20, True) for size in (1, 8, 9)]
    assert [way[LEVEL] for way in history] == [4, 4, ZSTD_LEVEL]
    assert [way[LEVEL] for way in heads] == [6, 6, ZSTD_LEVEL]
    assert landing(16 << 20, False, repetitive=True) is history[0]
    assert [landing(17 << 20, at_head, repetitive=True)[STRATEGY] for at_head in (False, True)] == [GREEDY, GREEDY]
    assert [landing(17 << 20, at_head, repetitive=True)[HASH_LOG] for at_head in (False, True)] == [20, 20]
    assert (history[2][HASH_LOG], heads[2][HASH_LOG]) == (22, 21)
    assert history[2][SEARCH_LOG] == heads[2][SEARCH_LOG] == 5
    assert not {STRATEGY} & {*history[2], *heads[2]}, "the level's own, which looks further"
    assert history[0] is history[1], "the same object, or each page would have a table of its own"


def test_a_large_compacted_page_remembers_more_places_and_a_small_one_is_searched_less() -> None:
    small, large = (compacting(18)(size << 20, False) for size in (16, 17))
    assert (small[LEVEL], small.get(CHAIN_LOG)) == (11, None)
    assert (large[LEVEL], large[CHAIN_LOG]) == (18, 25)
    assert compacting(3)(1, False)[LEVEL] == 3
    assert CHAIN_LOG not in compacting(21)(64 << 20, False), "level 21 remembers more by itself"


@pytest.mark.parametrize("how", [landing, compacting(18), compacting(3)])
def test_pages_at_head_need_less_to_be_read(how: How) -> None:
    """A page of 30 MiB says in its header that 4 MiB of window are enough."""
    sizes = (1 << 20, 9 << 20, 17 << 20)
    assert [how(size, True)[WINDOW_LOG] for size in sizes] == [22, 22, 22]
    assert [how(size, False)[WINDOW_LOG] for size in sizes] == [27, 27, 27]
    stored = PageCompressor(how).compress(memoryview(bytes(18 << 20)), at_head=True)
    is_single, exponent = stored[4] & 0x20, stored[5] >> 3
    assert (is_single, 1 << 10 + exponent) == (0, 4 << 20), "RFC 8878, 3.1.1.1"


@pytest.mark.parametrize("how", [landing, compacting(18), compacting(3)])
@pytest.mark.parametrize("at_head", [False, True])
def test_pages_come_back(how: How, at_head: bool) -> None:
    """In turns of sizes that are compressed in different ways, by the decompressor of another library."""
    noise = random.Random(1).randbytes(1 << 20)
    compressor = PageCompressor(how)
    for size in (1, 100, 17 << 20, 1 << 20, 9 << 20, 18 << 20):
        page = (noise[: size // 2 + 1] * 20)[:size]
        stored = compressor.compress(memoryview(page), at_head=at_head)
        assert pa.decompress(stored, size, "zstd", asbytes=True) == page
    compressor.release()
    assert compressor.compress(memoryview(b"x"), at_head=at_head)


@pytest.mark.parametrize(("times", "strategy"), [(32, None), (56, None), (57, GREEDY), (400, GREEDY)])
def test_what_unpacks_to_many_times_its_bytes_is_searched_less(times: int, strategy: int | None) -> None:
    unpacking = Unpacking()
    for _ in range(3):
        unpacking.add(times * 1_000, 1_000)
    assert [unpacking.how(17 << 20, at_head).get(STRATEGY) for at_head in (False, True)] == [strategy] * 2


@pytest.mark.parametrize(("number", "most"), [(1006, 1), (1017, 6)])
def test_zstd_has_the_parameters_that_it_should(number: int, most: int) -> None:
    """They have the bounds of those that are meant. Without them large pages are larger and take longer."""
    assert landing(17 << 20, False)[number] == 1
    with pytest.raises(ValueError, match=rf"valid range is \[0, {most}\]"):
        PageCompressor(lambda size, at_head: {number: 7}).compress(memoryview(b"x"), at_head=False)
