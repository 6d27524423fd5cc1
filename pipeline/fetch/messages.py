"""Messages between a fetch task and the processes of its visits."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.fetch.local_file import LocalFile
from pipeline.model.visit import Visit
from pipeline.rules.kinship import Tips


@dataclass(frozen=True, slots=True)
class Assignment:
    """To a worker: visit an origin. From now on it holds the origin's network, and no other.

    Attributes:
        place: the network's place in the plan.
        landed: ids that earlier visits of this task landed for it, 20 bytes each; empty if the worker holds it already.
    """

    place: int
    url: str
    landed: bytes


@dataclass(frozen=True, slots=True)
class Question:
    """To a worker: ask an origin of any network for its refs; the visit has ended if they have this digest."""

    network: int
    url: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Surveyed:
    """From a worker, during a visit: digests of the planned refs of the network's due origins; see ``NetworkState``."""

    digests: bytes


@dataclass(frozen=True, slots=True)
class RefsChanged:
    """From a worker: the origin shows other refs than those of the question, so it must be visited.

    ``tips``: what it shows; None if the question was about any refs.
    """

    tips: Tips | None = None


@dataclass(frozen=True, slots=True)
class HostAwaited:
    """From a worker: it waits until its visit may ask a host. A sign of life, repeated during the wait."""


@dataclass(frozen=True, slots=True)
class TurnWanted:
    """From a worker: it has a pack to decode. It sends nothing else of this visit until ``TurnGranted``."""


@dataclass(frozen=True, slots=True)
class TurnGranted:
    """To a worker: it may send rows. The turn ends with an ``Outcome``, with ``RowsDropped``, or with the process."""


@dataclass(frozen=True, slots=True)
class Rows:
    """From a worker: rows of a table, which follow; see ``parcel``.

    Attributes:
        raw_bytes: the size of their large values.
        others_bytes: the size of what comes before the contents.
        offsets: Arrow's offsets of the contents, empty if the table has none.
    """

    table: str
    raw_bytes: int
    others_bytes: int
    offsets: bytes


@dataclass(frozen=True, slots=True)
class RoomWanted:
    """From a worker, in its turn: what it visits is large, and it will write its contents. It awaits ``RoomMade``."""


@dataclass(frozen=True, slots=True)
class RoomMade:
    """To a worker: the task has given back what memory it can spare."""


@dataclass(frozen=True, slots=True)
class FileWritten:
    """From a worker: a finished file of rows of this turn, which is the task's from now on."""

    file: LocalFile


@dataclass(frozen=True, slots=True)
class RowsDropped:
    """From a worker: forget the rows and files of this turn."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """From a worker: a visit. Its rows count if the visit ended well."""

    visit: Visit


@dataclass(frozen=True, slots=True)
class OurFailure:
    """From a worker: a failure that no origin is to blame for, such as of scratch or storage. The task ends."""

    error: Exception
