"""Lists a slice of a forge: page after page, each written before the next one is asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline.fetch.forges.cursor import BadPage, Batch, Cursor, Question
from pipeline.fetch.forges.errors import ListedTwice, ListingDeferred, ListingStopped, PassGivenUp
from pipeline.fetch.forges.pages import Progress, last_progress, write_page
from pipeline.fetch.forges.passes import SliceManifest, read_manifest, read_pass
from pipeline.fetch.forges.settings import ForgeSettings
from pipeline.git.conditions import Conditions
from pipeline.git.errors import (
    ConnectionLost,
    LimitExceeded,
    OriginError,
    OriginTimeout,
    RateLimited,
    ServerError,
)
from pipeline.git.page import get_page, post_page
from pipeline.model.layout import ForgePass
from pipeline.model.page import Page
from pipeline.model.visit import VisitStatus
from pipeline.storage.errors import AlreadyThere
from pipeline.storage.interface import Storage

logger = logging.getLogger(__name__)

SLICE_PAGES = 500
"""Pages of a slice: what is merged at once, and how many small files there are until then."""

PATIENCE = 4
"""Failures of a page in a row that may be the server's; from the next one on, something on the page is to blame. A
question with several parts is divided at once."""

MOST_FAILED = 50
"""Answers in a row that are no page, after which the forge is at fault, and not something on a page."""

MOST_UNANSWERED = 10
"""Questions of one repository each, in a row, that have no answer whenever they are asked: then it is for the next
crawl to go on after the last but one."""

MOST_LIMITED = 5
"""Times that a page is asked for again after the forge said that we ask too much."""

MOST_SKIPPED = 100
"""How often a pass may pass over something that no page shows."""

MOST_IDLE = 1_000
"""Pages in a row without a repository: such a listing does not go on."""

OF_A_PAGE = (ServerError, ConnectionLost, OriginTimeout, LimitExceeded)
"""Errors that a smaller page may avoid."""


@dataclass(slots=True)
class Lister:
    """What listing needs besides the pass.

    Attributes:
        pause: waits before a page is asked for again, longer after more failures in a row.
        slice_pages: pages of a slice.
        unanswered: questions of one repository each, since the last answer to one, that had none whenever they were
            asked.
    """

    storage: Storage
    scratch: Path
    settings: ForgeSettings
    conditions: Conditions
    pause: Callable[[int], None]
    slice_pages: int = SLICE_PAGES
    unanswered: int = field(default=0, init=False)

    def list_slice(self, place: ForgePass, slice_: int) -> SliceManifest:
        """List a slice, from the page after the last one that is written; its manifest comes last.

        Raises:
            ListingStopped, ListingDeferred: it cannot go on now; what is written stays.
            ListedTwice: another process is listing this forge.
            PassGivenUp: another process gave the pass up.
        """
        found = read_pass(self.storage, place)
        assert found is not None
        before = (
            read_manifest(self.storage, place, slice_ - 1).progress if slice_ > 1 else Progress(next=found.begun.first)
        )
        progress = last_progress(self.storage, place, slice_) or before
        while progress.next is not None and progress.pages - before.pages < self.slice_pages:
            if self.storage.stat(place.given_up) is not None:
                raise PassGivenUp(place.forge)
            batch, skipped = self.batch(place.forge, progress, progress.next)
            progress = progress.past(skipped, batch)
            write_page(self.storage, self.scratch, place, slice_, batch.listings, progress)
        manifest = SliceManifest(first=before.pages + 1, progress=progress, ended_at=datetime.now(UTC))
        try:
            self.storage.create(place.manifest(slice_), manifest.model_dump_json().encode())
        except AlreadyThere:
            raise ListedTwice(place.forge) from None
        return manifest

    def batch(self, forge: str, progress: Progress, cursor: Cursor) -> tuple[Batch, int]:
        """The next page that can be read, and how often something was skipped for it.

        Raises:
            ListingStopped, ListingDeferred: as above.
        """
        pager = self.settings.pager(has_token=self.conditions.hosts.has_api_login(self.settings.url))
        self._check(forge, pager.where(cursor), progress)
        skipped = failed = here = limited = 0
        while True:
            page, address = pager.where(cursor), pager.address(cursor)
            try:
                batch = pager.read(cursor, self._ask(forge, page, address, pager.html))
                if isinstance(address, Question):
                    self.unanswered = 0
                return batch, skipped
            except BadPage as error:
                code, why = error.code, str(error)
            except OF_A_PAGE as error:
                code, why = error.code, error.why
            except RateLimited as error:
                limited += 1
                if limited > MOST_LIMITED:
                    raise ListingDeferred(forge, page, error.code, error.why) from None
                continue
            except OriginError as error:
                kind = ListingDeferred if error.status is VisitStatus.DEFERRED else ListingStopped
                raise kind(forge, page, error.code, error.why) from None
            failed, here = failed + 1, here + 1
            logger.info("%s: %s could not be listed (%s): %s", forge, page, code, why)
            divides = isinstance(address, Question) and address.parts > 1
            onward = pager.around(cursor) if divides or here > PATIENCE else (cursor, False)
            if isinstance(onward, Batch):
                self.unanswered += 1
                if self.unanswered >= MOST_UNANSWERED:
                    raise ListingStopped(forge, page, code, why)
                return onward, skipped
            no_more = onward is not None and onward[1] and progress.skipped + skipped >= MOST_SKIPPED
            if onward is None or failed == MOST_FAILED or no_more:
                raise ListingStopped(forge, page, code, why)
            cursor, has_skipped = onward
            skipped += has_skipped
            if not divides:
                self.pause(failed + self.unanswered)
                continue
            failed = here = 0  # another question
            if code != BadPage.code:
                self.pause(1)

    def _check(self, forge: str, page: str, progress: Progress) -> None:
        if progress.listed > self.settings.most:
            why = f"it lists more than {self.settings.most:,} repositories"
        elif progress.idle > MOST_IDLE:
            why = f"{MOST_IDLE:,} pages in a row showed nothing new"
        else:
            return
        raise ListingStopped(forge, page, "endless", why)

    def _ask(self, forge: str, page: str, address: str | Question, html: bytes | None) -> Page:
        if isinstance(address, Question):
            return post_page(
                address.url, address.document, self.conditions,
                largest=self.settings.page_bytes, is_limit=address.is_limit, night=self.tonight(),
            )  # fmt: skip
        if not self.settings.is_file:
            return get_page(address, self.conditions, largest=self.settings.page_bytes, html=html, night=self.tonight())
        try:
            with self.settings.file.open("rb") as file:
                body = file.read(self.settings.page_bytes + 1)
        except OSError as error:
            raise ListingStopped(forge, page, "no_file", error.strerror or str(error)) from None
        if len(body) > self.settings.page_bytes:
            raise ListingStopped(forge, page, LimitExceeded.code, f"it exceeds {self.settings.page_bytes:,} bytes")
        return Page({}, body)

    def tonight(self) -> int:
        """The night that a request counts for."""
        return datetime.now(UTC).date().toordinal()
