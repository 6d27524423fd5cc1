"""What ``pipeline nightly`` says."""

from __future__ import annotations

from datetime import date

from pipeline.cli.nightly import already_complete


def test_who_added_origins_since_is_told_how_to_visit_them_today() -> None:
    today, tomorrow = date(2026, 11, 30), date(2026, 12, 1)
    assert already_complete(today, tomorrow).endswith("waits for tomorrow's, which --night 2026-12-01 runs now.")
    for night, free in ((date(2026, 11, 29), tomorrow), (tomorrow, tomorrow), (today, None)):
        assert already_complete(night, free) == f"The night {night} is already complete; nothing was done."
