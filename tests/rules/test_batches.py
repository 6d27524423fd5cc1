"""How many origins a batch has."""

from __future__ import annotations

from pipeline.rules.batches import batch_origins


def test_a_batch_grows_with_the_buckets_between_two_bounds() -> None:
    assert [batch_origins(buckets) for buckets in (1, 8, 10, 64, 1_024, 16_384)] == [
        *(10_000, 32_000, 40_000),
        256_000,
        *(4_000_000, 4_000_000),
    ]
