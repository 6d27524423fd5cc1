"""The lease of a compaction, and when it may renew ``at_head``; no Spark."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, FetchSection
from pipeline.errors import ArchiveHeld
from pipeline.maintain.run_compact import PURPOSE, Renewal
from pipeline.model.layout import Load
from pipeline.run import hold
from pipeline.storage.lease import Lease, Owner
from pipeline.storage.lease_record import LeaseRecord, read_record
from pipeline.storage.local import LocalStorage
from pipeline.workplace import Workplace


def test_a_night_waits_for_a_commit_of_a_compaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path / "archive")
    place = Workplace(Config(fetch=FetchSection(scratch=tmp_path / "scratch")), storage)
    committing = Lease.acquire(storage, Owner.here("r1", PURPOSE), heartbeat=False)
    looked: list[LeaseRecord | None] = []

    def look_and_commit(*arguments: Any) -> LeaseRecord | None:
        looked.append(read_record(*arguments))
        committing.release()
        return looked[-1]

    monkeypatch.setattr("pipeline.run.read_record", look_and_commit)
    with hold(place, "night 2026-11-02"):
        assert len(looked) == 1
        with pytest.raises(ArchiveHeld), hold(place, "maintain"):
            pytest.fail("two runs held the archive")


def test_at_head_is_renewed_only_when_every_load_is_complete(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    renewal = Renewal(storage)
    assert renewal.may_begin()
    first, second = (Load.of_night(date(2026, 11, day)) for day in (2, 3))
    storage.create(first.plan, b"{}")
    assert not renewal.may_begin()
    assert not renewal.may_begin()
    storage.create(first.finished, b"{}")
    assert renewal.may_begin()
    storage.create(second.plan, b"{}")
    assert not renewal.may_begin()
    assert renewal.complete == {first.name}
