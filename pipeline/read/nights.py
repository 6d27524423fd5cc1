"""Which night a reader sees."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from pipeline.model.errors import UsageError
from pipeline.model.layout import newest_possible


class NightNotFound(UsageError):
    """There is no such sealed night."""

    def __init__(self, night: date, known: Sequence[date]) -> None:
        super().__init__(night, tuple(known))
        self.night, self.known = night, tuple(known)

    def __str__(self) -> str:
        if not self.known:
            return f"there is no night {self.night}: no night has been completed yet"
        shown = ", ".join(str(night) for night in self.known[-10:])
        return f"there is no night {self.night}; the archive has {len(self.known)}, the latest are {shown}"


class NotAnArchive(UsageError):
    """There are no tables at this place."""

    def __str__(self) -> str:
        return "there are no tables here yet: create the archive first, or check its location"


def choose_night(wanted: date | None, known: Sequence[date]) -> date | None:
    """The wanted night; without one the newest, except nights after tomorrow; None for the current state.

    Raises:
        NightNotFound: it is not among the sealed ones.
    """
    if wanted is None:
        newest = newest_possible(datetime.now(UTC).date())
        return max((night for night in known if night <= newest), default=None)
    if wanted not in known:
        raise NightNotFound(wanted, known)
    return wanted
