from pipeline.rules.slices import bucket_slices


def test_small_buckets_share_a_slice() -> None:
    assert bucket_slices({3: 4, 1: 5, 2: 0}, 10) == [[1, 3]]


def test_a_slice_ends_where_the_limit_would_be_passed() -> None:
    assert bucket_slices({0: 6, 1: 4, 2: 1}, 10) == [[0, 1], [2]]


def test_a_bucket_above_the_limit_stands_alone() -> None:
    assert bucket_slices({0: 1, 1: 11, 2: 1}, 10) == [[0], [1], [2]]


def test_no_rows_no_slices() -> None:
    assert bucket_slices({}, 10) == []
