from pipeline.rules.questions import MOST_PARTS, PART_ORIGINS, question_parts


def test_only_buckets_with_more_than_a_part_are_cut() -> None:
    assert question_parts({0: PART_ORIGINS, 1: PART_ORIGINS + 1, 2: 147 * PART_ORIGINS, 3: 0}) == {1: 2, 2: 147}


def test_parts_grow_with_the_load() -> None:
    buckets = dict.fromkeys(range(1_000), 40 * PART_ORIGINS)
    parts = question_parts(buckets)
    assert MOST_PARTS <= sum(parts.values()) <= MOST_PARTS + len(buckets)
    assert set(parts.values()) == {4}
