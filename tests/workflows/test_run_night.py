"""What a night says of itself, without Spark and without visits."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.context.config import Config
from pipeline.model.layout import Load
from pipeline.model.log import fields_here
from pipeline.storage.lease_record import ArchiveHeld, Owner
from pipeline.storage.local import LocalStorage
from pipeline.workflows import run_night
from pipeline.workflows.loads import last_done

NIGHT = date(2026, 11, 1)


def test_what_a_helping_host_says_is_about_the_night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, object]] = []
    leader = Owner("r1", "another host", 1, f"night {NIGHT} through luigid:8082")
    answers = iter([None, "done"])

    def lead(*_: object) -> None:
        said.append(fields_here())
        raise ArchiveHeld(leader, 1)

    monkeypatch.setattr(run_night, "LOOK_EVERY_S", 0)
    monkeypatch.setattr(run_night, "_lead", lead)
    monkeypatch.setattr(run_night, "_help", lambda *_: said.append(fields_here()))
    monkeypatch.setattr(run_night, "read_if_whole", lambda *_: next(answers))
    config = Config.model_validate({"luigi": {"scheduler": "luigid:8082"}})
    place: Any = SimpleNamespace(archive=lambda: None, storage=LocalStorage(tmp_path), config=config)
    result = run_night.run_night(place, (), NIGHT)
    assert (result.led, result.report) == (False, None)
    assert said == [{"night": NIGHT}] * 2
    assert fields_here() == {}


def test_a_night_that_another_host_finished_meanwhile_is_not_led(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place: Any = SimpleNamespace(archive=lambda: None, storage=LocalStorage(tmp_path), config=Config())
    answers = iter([None, "done", "done"])
    monkeypatch.setattr(run_night, "read_if_whole", lambda *_: next(answers))
    monkeypatch.setattr(run_night, "hold", lambda *_, **__: nullcontext(place))
    result = run_night.run_night(place, (), NIGHT)
    assert (result.already, result.led) == (False, False)


def test_a_resumed_night_knows_what_it_has(tmp_path: Path) -> None:
    storage, load = LocalStorage(tmp_path), Load.of_night(NIGHT)
    assert last_done(storage, load) is None
    for stage, marker in (("plan", load.plan), ("publish", load.published), ("derive", load.derived)):
        storage.replace(marker, b"{}")
        assert last_done(storage, load) == stage
