from pipeline.rules.fetch_order import fetch_order


def test_buckets_with_most_to_visit_come_first() -> None:
    assert fetch_order({7: 1, 0: 2, 5: 9, 3: 2}) == [5, 0, 3, 7]
