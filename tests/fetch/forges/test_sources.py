"""Which forges tell of changes, and when each last looked."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.fetch.forges.settings import ForgeSettings
from pipeline.fetch.forges.sources import signal_sources
from pipeline.model.layout import ForgePass
from pipeline.model.signal import SignalSource
from pipeline.storage.local import LocalStorage
from tests.fetch.forges.test_leftovers import put
from tests.support.listings import NOW


@pytest.mark.parametrize(
    ("settings", "source"),
    [
        ({"kind": "gitlab"}, SignalSource("f", None)),
        ({"kind": "cgit"}, SignalSource("f", None, by_commits=True)),
        ({"kind": "events", "clones": "https://g/x/"}, SignalSource("f", None, below="https://g/x/")),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
def test_a_forge_tells_by_its_kind(tmp_path: Path, settings: dict[str, Any], source: SignalSource) -> None:
    assert signal_sources(LocalStorage(tmp_path), {"f": ForgeSettings(url="http://f", **settings)}) == [source]


def test_it_last_looked_when_its_last_whole_pass_began(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for number in (1, 2):
        put(storage, number, kind="gitea", full=number == 1)
    put(storage, 3, kind="gitea", merged=False)
    storage.create(put(storage, 4, kind="gitea").given_up, b"{}")

    def looked_at(kind: Any = "gitea", url: str = "http://f") -> Any:
        return signal_sources(storage, {"f": ForgeSettings(kind=kind, url=url)})[0].looked_at

    assert looked_at() == NOW + timedelta(days=2)
    assert looked_at(url="http://other") is None
    storage.replace(ForgePass("f", 3).begun, b"{")
    assert looked_at() is None, "its passes cannot be read"


def test_passes_that_find_what_is_new_look_for_no_changes(tmp_path: Path) -> None:
    put(LocalStorage(tmp_path), 1)
    settings = ForgeSettings(kind="github", url="http://f")
    assert signal_sources(LocalStorage(tmp_path), {"f": settings})[0].looked_at is None
