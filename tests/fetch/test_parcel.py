"""What one process sends as rows, the other one has as an Arrow batch, byte for byte."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import pyarrow as pa
import pytest

from pipeline.fetch.batches import record_batch
from pipeline.fetch.channel import Channel
from pipeline.fetch.messages import Rows
from pipeline.fetch.parcel import packed, unpacked
from pipeline.model import tables
from pipeline.model.rows import ContentRow, Row, TreeRow, tag_row
from pipeline.model.tables import Table

OID = b"\xff" * 20
BODIES = [b"", b"\0" * 70_000, b"x", bytes(range(256)) * 9_000, b""]
TAG = b"object %s\ntype commit\ntag v1\ntagger A <a@b> 1 +0000\n\nx\n" % (b"a" * 40)
ROWS: dict[str, tuple[Table, Sequence[Row]]] = {
    "contents": (
        tables.CONTENTS,
        [
            ContentRow(1, 2, OID, len(body), "c", "é.c", at_head=n % 2 == 0, content=body)
            for n, body in enumerate(BODIES)
        ],
    ),
    "more pieces than a call takes": (
        tables.TREES,
        [TreeRow(1, 2, OID, at_head=False, content=b"%d" % n) for n in range(os.sysconf("SC_IOV_MAX") * 2 + 3)],
    ),
    "one empty tree": (tables.TREES, [TreeRow(1, 2, OID, at_head=True, content=b"")]),
    "no contents": (tables.TAGS, [tag_row(1, 2, OID, TAG)] * 3),
}


@pytest.mark.parametrize("case", ROWS)
def test_rows_arrive_as_they_were_sent(case: str) -> None:
    table, rows = ROWS[case]
    batch = sent(table, rows)
    batch.validate(full=True)
    assert batch.equals(record_batch(table, rows))


def test_a_write_may_be_cut_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.writev
    monkeypatch.setattr(os, "writev", lambda file, pieces: real(file, [pieces[0][: len(pieces[0]) // 2 + 1]]))
    table, rows = ROWS["contents"]
    assert sent(table, rows).equals(record_batch(table, rows))


def sent(table: Table, rows: Sequence[Row]) -> pa.RecordBatch:
    """The rows after they have crossed a channel, with a message behind them."""
    here, there = Channel.pair()
    parcel = packed(table, rows, 5)

    def send() -> None:
        message, pieces = parcel.crossing()
        there.send(message, *pieces)
        there.send("end")

    sender = threading.Thread(target=send)
    sender.start()
    message, body = here.receive()
    end, nothing = here.receive()
    sender.join()
    here.close()
    there.close()
    assert (type(message), message.table, message.raw_bytes) == (Rows, table.name, 5)
    assert (end, nothing.size) == ("end", 0)
    return unpacked(message, body)
