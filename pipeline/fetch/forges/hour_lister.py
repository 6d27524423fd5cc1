"""Reads events hour by hour. One that cannot be read is asked for again by the next pass, until it is lost."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pipeline.fetch.forges.crawl import MOST_LIMITED, OF_A_PAGE, PATIENCE, Lister
from pipeline.fetch.forges.cursor import BadPage, Batch, Cursor
from pipeline.fetch.forges.errors import ListingDeferred, ListingStopped
from pipeline.fetch.forges.events import EXPANSION, Changed, read_events
from pipeline.fetch.forges.hours import name_of
from pipeline.fetch.forges.items import BadItem, listing_at
from pipeline.fetch.forges.pages import Progress
from pipeline.fetch.forges.settings import ForgeSettings
from pipeline.git.errors import LimitExceeded, OriginError, OriginTimeout, RateLimited, RepositoryNotFound
from pipeline.git.page import save_file
from pipeline.model.listing import Listing
from pipeline.model.visit import VisitStatus

logger = logging.getLogger(__name__)

MOST_DOWN = 3
"""Hours in a row that the server fails to send, after which it is at fault, and not something about an hour."""


@dataclass(slots=True)
class HourLister(Lister):
    """Lists the repositories that events name. A page is an hour; one that cannot be read holds up no other.

    Attributes:
        down: hours in a row that the server failed to send.
    """

    down: int = field(default=0, init=False)

    def batch(self, forge: str, progress: Progress, cursor: Cursor) -> tuple[Batch, int]:
        """The next hour, and how many hours are lost."""
        if cursor.jumps:
            logger.warning("%s: hours passed over, as they are too long ago: %d", forge, cursor.jumps)
        if not cursor.hours:
            return Batch(highest=cursor.seen), cursor.jumps
        hour, *others = cursor.hours
        later = cursor.model_copy(update={"hours": tuple(others), "jumps": 0})
        onward = Batch(next=later if others else None, highest=max(hour, cursor.seen))
        try:
            found, bad = self._read(forge, hour)
        except _Unreadable as error:
            is_lost = hour < cursor.floor
            said = "is lost" if is_lost else "is asked for again by the next crawl"
            logger.log(
                logging.WARNING if is_lost else logging.INFO,
                "%s: the hour %s %s (%s): %s", forge, name_of(hour), said, error.code, error.why,
            )  # fmt: skip
            late = () if is_lost else (hour,)
            return Batch(next=onward.next, highest=onward.highest, late=late), cursor.jumps + is_lost
        self.down = 0
        listings, refused = self._listings(found)
        counts = dict(sorted((Counter(bad) + Counter(refused)).items()))
        return Batch(listings, counts, onward.next, highest=onward.highest), cursor.jumps

    def _read(self, forge: str, hour: int) -> tuple[dict[Changed, datetime], dict[str, int]]:
        """What an hour's file says.

        Raises:
            _Unreadable: it is not there, or cannot be read.
            ListingStopped, ListingDeferred: the server can be asked for no hour.
        """
        scratch = self.scratch / f"{name_of(hour)}.events"
        try:
            self._save(forge, hour, scratch)
            with scratch.open("rb") as file:
                return read_events(file, hour, EXPANSION * self.settings.hour_bytes)
        except BadPage as error:
            raise _Unreadable("bad_page", str(error)) from None
        finally:
            scratch.unlink(missing_ok=True)

    def _save(self, forge: str, hour: int, path: Path) -> None:
        url, page = f"{self.settings.url}/{name_of(hour)}.json.gz", f"the hour {name_of(hour)}"
        failed = limited = 0
        while True:
            try:
                with path.open("wb") as file:
                    save_file(url, self.conditions, file, largest=self.settings.hour_bytes, night=self.tonight())
            except (RepositoryNotFound, LimitExceeded) as error:
                raise _Unreadable(error.code, error.why) from None
            except OF_A_PAGE as error:
                failed += 1
                logger.info("%s: %s could not be listed (%s): %s", forge, page, error.code, error.why)
                if failed > PATIENCE or isinstance(error, OriginTimeout):
                    self.down += 1
                    if self.down > MOST_DOWN:
                        raise ListingStopped(forge, page, error.code, error.why) from None
                    raise _Unreadable(error.code, error.why) from None
                self.pause(failed)
            except OriginError as error:
                if isinstance(error, RateLimited) and limited < MOST_LIMITED:
                    limited += 1
                    continue
                kind = ListingDeferred if error.status is VisitStatus.DEFERRED else ListingStopped
                raise kind(forge, page, error.code, error.why) from None
            else:
                return

    def _listings(self, found: Mapping[Changed, datetime]) -> tuple[tuple[Listing, ...], dict[str, int]]:
        bad: Counter[str] = Counter()
        listings = []
        for changed, moment in found.items():
            try:
                listings.append(_listing(changed, moment, self.settings))
            except BadItem as error:
                bad[str(error)] += 1
        return tuple(listings), bad


def _listing(changed: Changed, moment: datetime, settings: ForgeSettings) -> Listing:
    found = listing_at(changed.name.encode(), settings.clones or "", settings.clone_hosts, changed_at=moment)
    return found._replace(forge_id=str(changed.id or ""))


class _Unreadable(Exception):
    """An hour cannot be read; its file may come later."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(code, why)
        self.code, self.why = code, why
