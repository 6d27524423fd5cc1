"""Visits: one attempt to fetch one origin, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

from pipeline.model.redact import one_line

TAKEN_DOWN = "taken_down"
"""Reason why a blob's bytes are not stored, and error code of a visit that left such objects out."""


MOVED = "moved"
"""Code of a good visit whose server redirects to another URL for good; the detail ends with it."""


LOGIN_REQUIRED = "login_required"
"""Code of a visit whose server wants a login. Many say so, too, of what is not there, as they hide what is private."""


class VisitStatus(StrEnum):
    """How a visit ended.

    ``unchanged``: the refs are those of the last visit; ``full``: everything wanted is archived; ``partial``: all
    except objects over a size limit; ``not_found``: the server says that there is no such repository; ``refused``: we
    may not or do not want to fetch it (private address, scheme, login, SHA-256); ``deferred``: its host wants a pause,
    or gets no more requests this night, so it stays due as if there had been no visit; ``failed``: anything else, see
    the error code.
    """

    UNCHANGED = "unchanged"
    FULL = "full"
    PARTIAL = "partial"
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    DEFERRED = "deferred"
    FAILED = "failed"

    @property
    def ok(self) -> bool:
        """Whether the archive holds what the origin showed."""
        return self in (VisitStatus.UNCHANGED, VisitStatus.FULL, VisitStatus.PARTIAL)


ENDED_WELL = tuple(str(status) for status in VisitStatus if status.ok)
"""What tables have as the status of visits that ended well."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One row of ``visits``. ``error`` is a short stable code, ``detail`` a sentence; both None if all is well.

    ``detail`` is always one printable line of at most 500 characters without a URL's secrets.
    """

    bucket: int
    network: int
    origin: str
    night: date
    run_id: str
    status: VisitStatus
    error: str | None
    detail: str | None
    started_at: datetime
    duration_s: float
    pack_bytes: int
    objects: int
    newest_commit: datetime | None = None
    commit_days: int = 0

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Visit:
        """A visit from a row of ``visits``; one of before format 5 lacks the dates of commits.

        Raises:
            ValueError: its status is unknown.
        """
        days = row.get("commit_days") or 0
        return cls(**{**row, "status": VisitStatus(row["status"]), "commit_days": days})

    def __post_init__(self) -> None:
        if self.detail is not None:
            object.__setattr__(self, "detail", one_line(self.detail))

    @property
    def row(self) -> tuple[Any, ...]:
        """Its values in the order of the table's columns; ``dataclasses.astuple`` would copy each."""
        values: tuple[Any, ...] = _values_of(self)
        return values


_values_of = attrgetter(*Visit.__dataclass_fields__)
