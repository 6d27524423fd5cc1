"""A visit's rows on their way to its fetch task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.fetch.batches import Batches
from pipeline.fetch.channel import Channel
from pipeline.fetch.messages import FileWritten, HostAwaited, RoomWanted, RowsDropped, Surveyed, TurnWanted
from pipeline.fetch.page_compression import Unpacking
from pipeline.fetch.parcel import Parcel, packed
from pipeline.fetch.visit_contents import VisitContents
from pipeline.git.network import Deadline
from pipeline.model.rows import Row
from pipeline.model.tables import CONTENTS, Table


class Outbox:
    """Sends rows while it is this process's turn, and digests at any time.

    Args:
        folder: of this process, on the same disk as the task's files.
        run_bytes: of a run. A quarter of it is held until the turn ends; a visit with more writes a file.
    """

    def __init__(self, channel: Channel, folder: Path, run_bytes: int) -> None:
        self._channel, self._folder, self._run_bytes = channel, folder, run_bytes
        self._batches = Batches(self._send)
        self._contents: VisitContents | None = None
        self._unpacking = Unpacking()

    def survey(self, digests: bytes) -> None:
        """Send the digests of a network's planned refs."""
        self._channel.send(Surveyed(digests))

    def waits_for_host(self) -> None:
        """Send a sign of life during a wait that may be long."""
        self._channel.send(HostAwaited())

    @contextmanager
    def turn(self, deadline: Deadline, take: Callable[[int], None], allow: Callable[[int], None]) -> Iterator[None]:
        """Send rows in the block: all, or none if it raises. The wait for others does not count against the origin.

        Args:
            take: counts bytes of scratch.
            allow: allows for bytes of memory that do not count against the origin.
        """
        with deadline.paused():
            self._channel.send(TurnWanted())
            self._channel.receive()
        self._unpacking = Unpacking()
        contents = self._contents = VisitContents(
            self._folder, self._run_bytes, self._ask_for_room, take, allow, self._unpacking.how
        )
        try:
            yield
            self._batches.flush()
            self._hand_over(contents)
        except BaseException:
            self._batches.drop()
            contents.drop()
            self._channel.send(RowsDropped())
            raise
        finally:
            self._contents = None

    def add(self, table: Table, row: Row, raw_bytes: int = 0, packed_bytes: int = 0) -> None:
        """Add one row in the table's column order; ``raw_bytes`` is the size of its large value, ``packed_bytes`` what
        that has in the pack."""
        if packed_bytes:
            self._unpacking.add(raw_bytes, packed_bytes)
        self._batches.add(table, row, raw_bytes)

    def _send(self, table: Table, rows: Sequence[Row], raw_bytes: int) -> None:
        parcel = packed(table, rows, raw_bytes)
        if table is CONTENTS:
            assert self._contents is not None, "rows are sent in a turn"
            self._contents.add(parcel)
        else:
            self._pass_on(parcel)

    def _hand_over(self, contents: VisitContents) -> None:
        file = contents.finish()
        if file is not None:
            self._channel.send(FileWritten(file))
        for parcel in contents.rest():
            self._pass_on(parcel)

    def _pass_on(self, parcel: Parcel) -> None:
        message, pieces = parcel.crossing()
        self._channel.send(message, *pieces)

    def _ask_for_room(self) -> None:
        self._channel.send(RoomWanted())
        self._channel.receive()
