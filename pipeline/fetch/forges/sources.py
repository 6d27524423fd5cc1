"""Which forges tell of changes, and when each last looked for them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from pipeline.fetch.forges.passes import passes
from pipeline.fetch.forges.settings import EVENTS, ForgeSettings
from pipeline.model.signal import SignalSource
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage


def signal_sources(storage: Storage, named: Mapping[str, ForgeSettings]) -> list[SignalSource]:
    """The configured forges. One whose passes cannot be read is taken not to have looked."""
    return [
        SignalSource(
            name,
            looked_at=_looked_at(storage, name, settings) if settings.finds_changes else None,
            by_commits=settings.by_commits,
            below=f"{settings.clones}/" if settings.kind == EVENTS else None,
        )
        for name, settings in named.items()
    ]


def _looked_at(storage: Storage, forge: str, settings: ForgeSettings) -> datetime | None:
    with suppress(StoredFileDamaged):
        for each in passes(storage, forge):
            if not each.is_of(settings):
                break
            if each.finished and not each.given_up:
                return each.begun.begun_at
    return None
