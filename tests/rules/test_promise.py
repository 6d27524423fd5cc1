"""Which hosts lose the promise of the greatest age."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.context.config import Config
from pipeline.model.errors import UsageError
from pipeline.rules.night_budget import NightBudget, Shares
from pipeline.rules.promise import Hosts, archive_nights, least_age, unpromised

nights = st.lists(
    st.tuples(st.integers(1, 50), st.floats(0, 60), st.sampled_from([0.0, 0.0, 3.5, 70.0])), min_size=1, max_size=12
)


def hosts(rows: list[tuple[int, float, float]]) -> Hosts:
    counts, by_archive, own = (np.array(column) for column in zip(*rows, strict=True))
    return Hosts([f"h{number:02d}" for number in range(len(rows))], counts, by_archive, own)


def needed(some: list[tuple[int, float, float]]) -> float:
    return 1 + sum(row[1] for row in some) + max((row[2] for row in some), default=0.0)


@given(nights, st.integers(1, 120), st.randoms())
def test_the_promise_holds_for_all_that_keep_it(
    rows: list[tuple[int, float, float]], greatest: int, random: object
) -> None:
    lost = unpromised(hosts(rows), greatest)
    names = {each.host for each in lost}
    kept = [row for number, row in enumerate(rows) if f"h{number:02d}" not in names]
    assert not kept or needed(kept) <= greatest + 1e-6
    if lost:
        smallest = next(rows[int(each.host[1:])] for each in reversed(lost))
        assert needed([*kept, smallest]) > greatest - 1e-6, "no host loses it without need"
        assert all(row[1] + row[2] <= smallest[1] + smallest[2] + 1e-6 for row in kept), "those that take most do"
        assert lost[-1].nights > greatest - 0.1
    order = np.random.default_rng(random.randrange(1000)).permutation(len(rows))  # type: ignore[attr-defined]
    of = hosts(rows)
    other = Hosts([of.names[at] for at in order], of.origins[order], of.nights[order], of.own_nights[order])
    assert unpromised(other, greatest) == lost, "in whatever order they come"


def test_a_large_host_loses_it_for_itself_alone() -> None:
    small = [(10, 0.5, 0.0)] * 20
    (lost,) = unpromised(hosts([*small, (12_000_000, 1200.0, 0.0)]), 90)
    assert (lost.host, lost.origins, lost.nights) == ("h20", 12_000_000, 1211)
    (slow,) = unpromised(hosts([*small, (9_000, 0.1, 90.0)]), 90)
    assert slow.host == "h20", "because of the requests that it allows"
    assert [each.host for each in unpromised(hosts(small), 90, others=(80.0, 0.0))] == ["h19", "h18"]


def test_nights_add_up() -> None:
    assert archive_nights(1_200_000, 0, NightBudget(origins=100_000), Shares()) == 120
    assert archive_nights(7, 5_000_000, NightBudget(cpu_s=10.0), Shares()) == 5
    assert archive_nights(7, 5_000_000, NightBudget(requests=1), Shares()) == 0
    assert least_age(NightBudget(origins=100), Shares()) == 1.1


def test_what_no_archive_could_promise_is_no_configuration() -> None:
    with pytest.raises(ValueError, match=r"even a single origin may wait 1.1 nights"):
        Config(schedule={"budget": "origins=100", "greatest_age_nights": 1})
    config = Config(schedule={"greatest_age_nights": 1})
    with pytest.raises(UsageError, match=r"^greatest_age_nights is 1, and with 10 % of the budget"):
        config.with_budget("origins=100")
    assert config.with_budget(None) is config
    assert Config().with_budget("origins=3").schedule.budget == "origins=3"
