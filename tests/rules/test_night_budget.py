import pytest

from pipeline.rules.night_budget import NightBudget


def test_each_part_may_be_left_out() -> None:
    assert NightBudget.parse("origins=100000, cpu=1.5h,requests=20000") == NightBudget(100_000, 5400.0, 20_000)
    assert NightBudget.parse("cpu=90s") == NightBudget(None, 90.0, None)


@pytest.mark.parametrize(
    "text", ["", "100", "origins=0", "origins=1,origins=2", "cpu=3", "cpu=0m", "disk=3GB", "cpu=-1s"]
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cpu=|no visit"):
        NightBudget.parse(text)
