"""Messages between a fetch task and the processes of its visits."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.model.visit import Visit


@dataclass(frozen=True, slots=True)
class Assignment:
    """To a worker: visit a network of the plan.

    Attributes:
        network: its place in the plan.
        skip: number of its due origins that are done.
        landed: ids that earlier visits of this task landed for it, 20 bytes each.
    """

    network: int
    skip: int
    landed: bytes


@dataclass(frozen=True, slots=True)
class TurnWanted:
    """From a worker: it has a pack to decode. It sends nothing else of this visit until ``TurnGranted``."""


@dataclass(frozen=True, slots=True)
class TurnGranted:
    """To a worker: it may send rows. The turn ends with an ``Outcome``, with ``RowsDropped``, or with the process."""


@dataclass(frozen=True, slots=True)
class Rows:
    """From a worker: rows of a table as an Arrow message. ``raw_bytes`` is the size of their large values."""

    table: str
    raw_bytes: int


@dataclass(frozen=True, slots=True)
class RowsDropped:
    """From a worker: forget the rows of this turn."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """From a worker: a visit. Its rows count if the visit ended well."""

    visit: Visit


@dataclass(frozen=True, slots=True)
class OurFailure:
    """From a worker: a failure that no origin is to blame for, such as of scratch or storage. The task ends."""

    error: Exception
