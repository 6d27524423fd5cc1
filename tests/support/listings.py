"""Listings of forges without a command: into a folder, killed and resumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.context.config import load_config
from pipeline.fetch.forges import crawl
from pipeline.fetch.forges.crawl import Lister
from pipeline.fetch.forges.passes import begin_pass, read_pass
from pipeline.fetch.forges.settings import ForgeSettings
from pipeline.git.page import get_page, post_page
from pipeline.model.layout import ForgePass
from pipeline.storage.local import LocalStorage

NOW = datetime(2026, 11, 27, tzinfo=UTC)


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Place:
    """An archive's storage, and what lists forges into it."""

    root: Path
    tables: str = ""
    waited: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.root / "scratch").mkdir()
        self.storage = LocalStorage(self.root / "archive")

    @property
    def pauses(self) -> int:
        """How many there were; ``waited`` says after how many failures in a row each was."""
        return len(self.waited)

    def settings(self, kind: str, url: str, **values: Any) -> ForgeSettings:
        return ForgeSettings(kind=kind, url=url, **values)

    def lister(self, settings: ForgeSettings, slice_pages: int = 7) -> Lister:
        config = self.root / "config.toml"
        fetch = f'[fetch]\nallowed_networks = ["127.0.0.0/8"]\nscratch = "{self.root}"\nuser_agent = "git/test"\n'
        config.write_text(fetch + self.tables)
        loaded = load_config(config).with_tokens({"TOKEN": "very-secret-token-1"})
        return Lister(self.storage, self.root / "scratch", settings, loaded.conditions, self._pause, slice_pages)

    def _pause(self, failures: int) -> None:
        self.waited.append(failures)

    def begin(self, settings: ForgeSettings, now: datetime = NOW, *, full: bool = False) -> ForgePass:
        return begin_pass(self.storage, "f", settings, now, full=full)

    def list_all(self, settings: ForgeSettings, place: ForgePass | None = None, slice_pages: int = 7) -> ForgePass:
        """List a pass to its end, and begin again after each kill."""
        place = place or self.begin(settings)
        while True:
            found = read_pass(self.storage, place)
            if found.over:
                return place
            try:
                self.lister(settings, slice_pages).list_slice(place, found.slices + 1)
            except Killed:
                continue

    def rows(self, place: ForgePass) -> list[dict[str, Any]]:
        """All rows of a pass, in the order of its pages."""
        files = sorted((self.root / "archive" / place.root).rglob("page-*.parquet"))
        return [row for path in files for row in pq.ParquetFile(path).read().to_pylist()]


def kill_after(monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    """Every so many answers, the process ends before it has kept the answer."""
    kill_when(monkeypatch, lambda number: number % every == 0)


def kill_when(monkeypatch: pytest.MonkeyPatch, ends: Callable[[int], bool]) -> None:
    """The process ends before it has kept an answer, by the number of answers so far."""
    asked = Counter[str]()

    def killing(ask: Callable[..., Any]) -> Callable[..., Any]:
        def killed(*arguments: Any, **options: Any) -> Any:
            page = ask(*arguments, **options)
            asked["pages"] += 1
            if ends(asked["pages"]):
                raise Killed
            return page

        return killed

    monkeypatch.setattr(crawl, "get_page", killing(get_page))
    monkeypatch.setattr(crawl, "post_page", killing(post_page))
