"""A visit's contents are sent if they are few; else they become a file, in the process that has them."""

from __future__ import annotations

import gc
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.fetch.batches import BATCH_ROWS
from pipeline.fetch.channel import Channel
from pipeline.fetch.messages import RoomWanted, RowsDropped, TurnWanted
from pipeline.fetch.outbox import Outbox
from pipeline.fetch.page_compression import PageCompressor, landing
from pipeline.fetch.parcel import packed
from pipeline.fetch.quota import ScratchQuota
from pipeline.fetch.visit_contents import _WRITING_BYTES, VisitContents
from pipeline.git.errors import LimitExceeded
from pipeline.git.network import Deadline
from pipeline.model.rows import ContentRow
from pipeline.model.tables import CONTENTS
from pipeline.storage.parquet import parquet_in

RUN = 100_000
"""A page has half of it; a quarter is held before there is a file."""

SIZE = 1_000


class Wanted(list[str]):
    """How often room was asked for."""

    def __call__(self) -> None:
        self.append("room")


def rows_of(numbers: Sequence[int], *, every: int = 3, size: int = SIZE) -> list[ContentRow]:
    """Rows of these numbers; one in so many is at HEAD."""
    return [
        ContentRow(
            1, 2, number.to_bytes(20, "big"), size, "c", f"{number % 7}.c", at_head=number % every == 0,
            content=b"%08d" % number * (size // 8),
        )
        for number in numbers
    ]  # fmt: skip


def filled(folder: Path, batches: Sequence[Sequence[ContentRow]], room: Wanted) -> VisitContents:
    contents = VisitContents(folder, RUN, room, lambda size: None, lambda size: None, landing)
    for rows in batches:
        contents.add(packed(CONTENTS, rows, sum(row.size for row in rows)))
    return contents


def groups_of(path: Path) -> list[pa.Table]:
    with path.open("rb") as stream, parquet_in(stream, str(path)) as file:
        assert file.sealed
        return [file.read_row_group(number) for number in range(file.num_row_groups)]


def test_few_are_sent_and_no_file_is_made(tmp_path: Path) -> None:
    room = Wanted()
    contents = filled(tmp_path, [rows_of(range(15)), rows_of(range(15, 20))], room)
    assert contents.finish() is None
    rest = list(contents.rest())
    assert [len(parcel.contents) for parcel in rest] == [15, 5]
    assert sum(parcel.raw_bytes for parcel in rest) == 20 * SIZE
    assert (list(contents.rest()), room, list(tmp_path.iterdir())) == ([], [], [])


def test_many_become_a_file_that_holds_all(tmp_path: Path) -> None:
    """Room is asked for once, before anything is written; nothing is left to send."""
    room = Wanted()
    contents = filled(tmp_path, [rows_of(range(at, at + 30)) for at in range(0, 300, 30)], room)
    file = contents.finish()
    assert file is not None
    assert (list(contents.rest()), room) == ([], ["room"])
    groups = groups_of(file.path)
    found = pa.concat_tables(groups).sort_by("oid").to_pylist()
    assert found == [dict(zip(CONTENTS.column_names, row, strict=True)) for row in rows_of(range(300))]
    assert (file.table, file.rows, file.raw_bytes) == ("contents", 300, 300 * SIZE)


def test_groups_are_at_head_or_not_and_in_order_of_arrival(tmp_path: Path) -> None:
    file = filled(tmp_path, [rows_of(range(at, at + 30)) for at in range(0, 300, 30)], Wanted()).finish()
    assert file is not None
    found: dict[bool, list[int]] = {True: [], False: []}
    for group in groups_of(file.path):
        (at_head,) = set(group["at_head"].to_pylist())
        found[at_head] += [int.from_bytes(oid, "big") for oid in group["oid"].to_pylist()]
    assert found == {True: list(range(0, 300, 3)), False: [number for number in range(300) if number % 3]}


def test_few_at_head_wait_for_the_end(tmp_path: Path) -> None:
    """They are one group, however many pages of others are written before."""
    batches = [rows_of(range(at, at + 30), every=60) for at in range(0, 600, 30)]
    file = filled(tmp_path, batches, Wanted()).finish()
    assert file is not None
    assert file.raw_bytes == 600 * SIZE
    groups = groups_of(file.path)
    assert len(groups) > 4
    assert [len(group) for group in groups if group["at_head"][0].as_py()] == [10]


@pytest.mark.parametrize("every", [10_000, 1])
def test_pages_are_full_but_no_larger(tmp_path: Path, every: int) -> None:
    """Each is a row group."""
    numbers = [range(at, at + 40) for at in range(1, 241, 40)]
    file = filled(tmp_path, [rows_of(some, every=every) for some in numbers], Wanted()).finish()
    assert file is not None
    assert [len(group) for group in groups_of(file.path)] == [49, 49, 49, 49, 44]


@pytest.mark.parametrize("first", [0, 1])
def test_a_content_larger_than_a_page_has_its_own(tmp_path: Path, first: int) -> None:
    """At HEAD, and not. The memory that it took is given back."""
    sizes = [SIZE] * 30 + [RUN] + [SIZE] * 30
    contents = filled(tmp_path, [rows_of([first + 3 * n], size=size) for n, size in enumerate(sizes)], Wanted())
    assert [len(page.buffer._memory or b"") for page in (contents._heads, contents._history)][first] == RUN // 2
    file = contents.finish()
    assert file is not None
    groups = groups_of(file.path)
    assert [len(group) for group in groups] == [30, 1, 30]
    assert [len(value) for value in pa.concat_tables(groups)["content"].to_pylist()] == sizes


def test_a_page_that_cannot_be_compressed_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that is deleted has no footer."""

    def no_memory(*_: object, **__: object) -> bytes:
        raise MemoryError("x")

    contents = filled(tmp_path, [rows_of(range(50))], Wanted())
    monkeypatch.setattr(PageCompressor, "compress", no_memory)
    parcels = [packed(CONTENTS, rows_of(range(50)), 50 * SIZE) for _ in range(9)]
    with pytest.raises(MemoryError, match="x"):
        deque(map(contents.add, parcels), maxlen=0)
    contents.drop()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("rows", "is_file"), [(120, False), (400, True)])
def test_tiny_contents_count_with_what_python_needs_for_them(tmp_path: Path, rows: int, is_file: bool) -> None:
    """Each has 120 bytes with it, 56 without: 400 would be fewer than are held."""
    contents = filled(tmp_path, [rows_of(range(at, at + 40), size=8) for at in range(0, rows, 40)], Wanted())
    file = contents.finish()
    assert (file is not None) == is_file
    assert file is None or (file.rows, file.raw_bytes) == (rows, rows * 8)


def test_other_columns_of_a_page_are_bounded(tmp_path: Path) -> None:
    """Tiny contents with long names would fill no page for long."""
    row = rows_of([1], size=8)[0]
    rows = [row._replace(oid=number.to_bytes(20, "big"), name="n" * 4096) for number in range(1_000)]
    file = filled(tmp_path, [rows[at : at + 2] for at in range(0, 1_000, 2)], Wanted()).finish()
    assert file is not None
    groups = groups_of(file.path)
    assert [row["oid"] for group in groups for row in group.to_pylist()] == [row.oid for row in rows]
    assert {len(group) for group in groups[:-1]} == {6}


def test_what_was_held_is_free_when_a_turn_is_over(tmp_path: Path) -> None:
    """At once, not when Python next looks for cycles: a page has 128 MiB."""
    gc.disable()
    try:
        for end in (VisitContents.finish, VisitContents.drop):
            contents = filled(tmp_path, [rows_of(range(at, at + 30)) for at in range(0, 300, 30)], Wanted())
            pages = [contents._heads.buffer, contents._history.buffer]
            assert all(page._memory is not None for page in pages)
            end(contents)
            assert all(page._memory is None for page in pages)
            kept = [weakref.ref(page) for page in pages]
            del contents, pages
            assert [page() for page in kept] == [None, None]
    finally:
        gc.enable()


def test_a_dropped_file_is_deleted(tmp_path: Path) -> None:
    contents = filled(tmp_path, [rows_of(range(200))], Wanted())
    assert [path.name for path in tmp_path.iterdir()] == ["contents.parquet"]
    contents.drop()
    assert list(tmp_path.iterdir()) == []
    filled(tmp_path, [rows_of(range(3))], Wanted()).drop()


def test_a_visit_without_contents_is_allowed_no_more_memory(tmp_path: Path) -> None:
    allowed: list[int] = []
    contents = VisitContents(tmp_path, RUN, Wanted(), lambda size: None, allowed.append, landing)
    assert allowed == []
    for at in range(0, 300, 30):
        contents.add(packed(CONTENTS, rows_of(range(at, at + 30)), 30 * SIZE))
    assert allowed == [RUN + _WRITING_BYTES]


def test_a_turn_that_fails_leaves_no_file(tmp_path: Path) -> None:
    task, worker = Channel.pair()
    task.send("a turn")
    task.send("room")
    with pytest.raises(ValueError, match="x"):
        fail_after_a_run(Outbox(worker, tmp_path, 1), tmp_path)
    assert [type(task.receive()[0]) for _ in range(3)] == [TurnWanted, RoomWanted, RowsDropped]
    assert list(tmp_path.iterdir()) == []
    task.close()
    worker.close()


def test_a_turn_after_one_that_failed_has_all_of_its_own_rows(tmp_path: Path) -> None:
    task, worker = Channel.pair()
    outbox = Outbox(worker, tmp_path, RUN)
    for message in ("a turn", "room", "a turn", "room"):
        task.send(message)
    with pytest.raises(ValueError, match="x"):
        fail_after_a_run(outbox, tmp_path)
    rows = rows_of(range(10, 10 + BATCH_ROWS + 5))
    with Deadline(60) as deadline, outbox.turn(deadline, lambda size: None, lambda size: None):
        for row in rows:
            outbox.add(CONTENTS, row, row.size)
    found = [row for group in groups_of(tmp_path / "contents.parquet") for row in group.to_pylist()]
    assert sorted(row["oid"] for row in found) == [row.oid for row in rows]
    assert all(row["content"] == b"%08d" % int.from_bytes(row["oid"], "big") * (SIZE // 8) for row in found)
    task.close()
    worker.close()


def fail_after_a_run(outbox: Outbox, folder: Path) -> None:
    with Deadline(60) as deadline, outbox.turn(deadline, lambda size: None, lambda size: None):
        for row in rows_of(range(BATCH_ROWS + 5)):
            outbox.add(CONTENTS, row, row.size)
        assert list(folder.iterdir()) != []
        raise ValueError("x")


def test_a_file_counts_as_scratch_of_the_visit(tmp_path: Path) -> None:
    quota = ScratchQuota(tmp_path, 5_000)
    contents = VisitContents(tmp_path, RUN, Wanted(), quota.take, lambda size: None, landing)
    parcels = [packed(CONTENTS, rows_of(range(at, at + 100)), 100 * SIZE) for at in range(0, 3_000, 100)]
    with pytest.raises(LimitExceeded, match="scratch"):
        deque(map(contents.add, parcels), maxlen=0)
    contents.drop()
    assert list(tmp_path.iterdir()) == []
