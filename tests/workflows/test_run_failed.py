"""What a run says that could not be finished."""

from __future__ import annotations

from pipeline.workflows.loads import RunFailed


def test_what_several_tasks_say_is_said_once() -> None:
    failed = RunFailed("2026-11-02", [(2, "no name"), (5, "no disk"), (2, "no name")])
    assert (
        str(failed) == "2026-11-02 could not be finished: no name; no disk. Run it again: it goes on where it stopped"
    )
    assert failed.exit_code == 2
