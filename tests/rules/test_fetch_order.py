from pipeline.rules.fetch_order import fetch_order


def test_buckets_are_given_in_order() -> None:
    assert fetch_order({7: 1, 0: 3, 5: 2}) == [0, 5, 7]
