"""What is asked of the workers of a standalone master. Nothing is started."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.tables.masters import standalone
from pipeline.tables.masters.standalone import MOST_SILENT, Standalone


class Workers(Standalone):
    """A master whose workers have these pages."""

    def __init__(self, pages: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__("spark://master:7077", "", 1, None)
        self._pages = list(pages)
        self.looked_at: list[str] = []

        def get_json(url: str) -> dict[str, Any]:
            self.looked_at.append(url.removesuffix("/json/"))
            return pages[self.looked_at[-1]]

        monkeypatch.setattr(standalone, "get_json", get_json)


ENDED = {"finishedexecutors": [{"appid": "app-1", "id": 7}, {"appid": "app-2", "id": 8}]}


def test_silent_pages_keep_no_look_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers({f"http://w{number}": {} for number in range(9)}, monkeypatch)
    assert workers.ended_executors("app-1") == 0
    assert len(workers.looked_at) == MOST_SILENT


def test_pages_behind_silent_ones_are_asked_next(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"http://a": {}, "http://b": ENDED, "http://c": {}, "http://d": ENDED}
    workers = Workers(pages, monkeypatch)
    assert workers.ended_executors("app-1") == 1
    assert workers.ended_executors("app-1") == 2
    assert workers.looked_at == ["http://a", "http://b", "http://c", "http://b", "http://d"]
