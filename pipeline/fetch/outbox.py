"""A visit's rows on their way to its fetch task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.fetch.batches import Batches
from pipeline.fetch.channel import Channel
from pipeline.fetch.messages import HostAwaited, RowsDropped, Surveyed, TurnWanted
from pipeline.fetch.parcel import packed
from pipeline.git.network import Deadline
from pipeline.model.rows import Row
from pipeline.model.tables import Table


class Outbox:
    """Sends rows while it is this process's turn, and digests at any time."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._batches = Batches(self._send)

    def survey(self, digests: bytes) -> None:
        """Send the digests of a network's planned refs."""
        self._channel.send(Surveyed(digests))

    def waits_for_host(self) -> None:
        """Send a sign of life during a wait that may be long."""
        self._channel.send(HostAwaited())

    @contextmanager
    def turn(self, deadline: Deadline) -> Iterator[None]:
        """Send rows in the block: all, or none if it raises. The wait for others does not count against the origin."""
        with deadline.paused():
            self._channel.send(TurnWanted())
            self._channel.receive()
        try:
            yield
            self._batches.flush()
        except BaseException:
            self._batches.drop()
            self._channel.send(RowsDropped())
            raise

    def add(self, table: Table, row: Row, raw_bytes: int = 0) -> None:
        """Add one row in the table's column order; ``raw_bytes`` is the size of its large value."""
        self._batches.add(table, row, raw_bytes)

    def _send(self, table: Table, rows: Sequence[Row], raw_bytes: int) -> None:
        parcel = packed(table, rows, raw_bytes)
        self._channel.send(parcel.message, *parcel.pieces)
