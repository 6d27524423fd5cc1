"""The text of ``pipeline status``."""

from __future__ import annotations

import pytest

from pipeline.cli.output import Output
from pipeline.cli.status import _show_archive
from pipeline.model.signal import SignalCounts, SignalKind
from pipeline.read.status import ArchiveStatus

OFFLINE = "quickstart --offline"
NOTHING, SOME = {"commits": 0, "blobs": 0}, {"commits": 1, "blobs": 0}


@pytest.mark.parametrize(
    ("last_visits", "objects", "says"),
    [
        ({"failed": 3}, NOTHING, True),
        ({"failed": 3}, SOME, False),
        ({"failed": 1, "full": 1}, NOTHING, False),
        ({"never": 3}, NOTHING, False),
        ({}, NOTHING, False),
    ],
)
def test_it_names_the_way_without_a_network(
    last_visits: dict[str, int], objects: dict[str, int], says: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    _show_archive(Output("text"), ArchiveStatus((), {"active": 3}, last_visits, objects, 0, 0, None))
    assert (OFFLINE in capsys.readouterr().out) is says


def test_it_says_how_right_signals_were(capsys: pytest.CaptureFixture[str]) -> None:
    signals = {
        SignalKind.EVENT: SignalCounts(right=3, wrong=1, changes=8, told=3),
        SignalKind.PUSHED: SignalCounts(right=1),
    }
    _show_archive(Output("text"), ArchiveStatus((), {}, {}, SOME, 0, 0, None, signals=signals))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["event", "4", "3", "75.0%", "8", "3", "37.5%"] in lines
    assert ["pushed", "1", "1", "100.0%", "0", "0"] in lines
