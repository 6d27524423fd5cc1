"""A bucket cut into pieces, each rewritten on its own, as in a worker; no Spark."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.maintain.cut import _Within, cut
from pipeline.maintain.rewrite_piece import HEAD_FILE_BYTES, Files, Layout, Rewritten, rewrite
from pipeline.maintain.sorted_rows import spool
from pipeline.maintain.sources import Piece, Source, sources
from pipeline.model.errors import ScratchFailed
from pipeline.model.tables import CONTENTS, HEAD_BLOBS, TREES, Table
from pipeline.rules.compaction import Bounds, exceeds
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.local import LocalStorage
from pipeline.storage.parquet import SealedWriter
from pipeline.tables.maintained import Vector

Cells = dict[str, Any]
BUCKET = 3
LAYOUT = Layout(1, 4_000)
WIDE = Bounds()


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "archive")


def blob(network: int, number: int, name: str = "a.c", *, at_head: bool = False, content: bytes = b"") -> Cells:
    data = content or b"%d " % number * 20
    oid = number.to_bytes(20, "big")
    ext = name.rpartition(".")[2]
    cells = {"bucket": BUCKET, "network": network, "oid": oid, "size": len(data), "ext": ext, "name": name}
    return {**cells, "at_head": at_head, "content": data}


def tree(network: int, number: int, content: bytes) -> Cells:
    oid = number.to_bytes(20, "big")
    return {"bucket": BUCKET, "network": network, "oid": oid, "at_head": False, "content": content}


def land(storage: LocalStorage, table: Table, *files: Sequence[Sequence[Cells]]) -> tuple[Source, ...]:
    """Files of row groups of rows."""
    uris = []
    for number, groups in enumerate(files):
        local = Path(storage.root_uri.removeprefix("file://")).parent / "local.parquet"
        with SealedWriter(local, table.arrow_schema, store_schema=False) as writer:
            for group in groups:
                writer.write_table(pa.Table.from_pylist(list(group), table.arrow_schema), row_group_size=len(group))
        path = f"tables/code/{table.name}/data/bucket={BUCKET}/{number}.parquet"
        storage.upload(local, path)
        uris.append(storage.uri(path))
    return sources(uris, {})


def rewritten(
    storage: LocalStorage,
    table: Table,
    files: Sequence[Source],
    scratch: Path,
    bounds: Bounds = WIDE,
    at_head: Sequence[Source] | None = None,
) -> tuple[list[Piece], list[Cells]]:
    """The pieces, and their rows as written, in order."""
    pieces = cut(storage, table, files, bounds)
    done = [rewrite(storage, table, BUCKET, piece, at_head, LAYOUT, scratch) for piece in pieces]
    assert not list(scratch.iterdir())
    found = [list(read(storage, one)) for one in done]
    assert [one.rows for one in done] == [len(rows) for rows in found]
    for rows in found:
        assert ordered(rows) == sorted(ordered(rows))
    return pieces, [row for rows in found for row in rows]


def read(storage: LocalStorage, done: Rewritten) -> Iterator[Cells]:
    for file in done.files:
        with storage.open(file.path) as stream:
            yield from pq.read_table(stream).to_pylist()


def ordered(rows: Sequence[Cells]) -> list[tuple[Any, ...]]:
    return [(not row["at_head"], row["network"], row.get("ext"), row.get("name")) for row in rows]


def some_blobs(networks: Sequence[int], each: int) -> list[Cells]:
    chosen = random.Random(1)
    names = ["b.c", "a.c", "README", "z.py"]
    return [
        blob(network, network * 1000 + n, chosen.choice(names), at_head=chosen.random() < 0.3)
        for network in networks
        for n in range(each)
    ]


def too_large(piece: Piece, bounds: Bounds) -> bool:
    return exceeds(piece.rows.key_bytes, piece.rows.raw_bytes, piece.rows.seconds, bounds)


def test_pieces_of_networks_hold_every_row_once_in_order(storage: LocalStorage, tmp_path: Path) -> None:
    rows = some_blobs(range(3, 40, 4), 30)
    random.Random(2).shuffle(rows)
    files = land(storage, CONTENTS, [rows[:100], rows[100:150]], [rows[150:]])
    pieces, found = rewritten(storage, CONTENTS, files, tmp_path / "scratch", Bounds(raw_bytes=6_000))
    assert len(pieces) > 3
    assert sorted(found, key=str) == sorted(rows, key=str)
    assert not any(too_large(piece, Bounds(raw_bytes=6_000)) for piece in pieces)


def test_one_piece_reads_only_row_groups_with_its_networks(storage: LocalStorage) -> None:
    groups = [some_blobs([network], 30) for network in (1, 2, 3, 4)]
    files = land(storage, CONTENTS, groups[:2], groups[2:])
    pieces = cut(storage, CONTENTS, files, Bounds(raw_bytes=sum(row["size"] for row in groups[0])))
    assert [[(s.number, s.groups) for s in piece.sources] for piece in pieces] == [
        [(0, (0,))], [(0, (1,))], [(1, (0,))], [(1, (1,))],
    ]  # fmt: skip


def test_a_network_too_large_is_cut_between_names_and_a_name_between_arrivals(
    storage: LocalStorage, tmp_path: Path
) -> None:
    versions = [blob(7, n, "same.c") for n in range(60)]
    others = [blob(7, 100 + n, f"{n % 9}.c", at_head=n % 2 == 0) for n in range(60)]
    small = [blob(5, 300, "x.c"), blob(9, 301, "y.c")]
    files = land(
        storage, CONTENTS, [versions[:20], others[:30]], [versions[20:40], others[30:]], [versions[40:], small]
    )
    bounds = Bounds(raw_bytes=1_200)
    pieces, found = rewritten(storage, CONTENTS, files, tmp_path / "scratch", bounds)
    assert sorted(found, key=str) == sorted([*versions, *others, *small], key=str)
    assert len(pieces) > 5
    assert not any(too_large(piece, bounds) for piece in pieces)
    cuts = [piece.rows.low for piece in pieces[1:] if piece.rows.low is not None]
    assert cuts == sorted(cuts)
    assert any(low.name == "same.c" and low.file for low in cuts)
    assert [row["oid"] for row in found if row["name"] == "same.c"] == [row["oid"] for row in versions]


def test_many_names_of_a_network_are_summed_up_and_cut_all_the_same(
    storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.maintain.cut.MOST_NAMES", 10)
    monkeypatch.setattr("pipeline.maintain.cut.SMALL", 8)
    summed: list[int] = []
    sum_up = _Within._sum_up

    def counting(self: _Within) -> None:
        sum_up(self)
        summed.append(len(self.names))
        assert sum(weighed.raw_bytes for weighed in self.parts()[7]) == sum(
            row["size"] for row in rows[: 30 * len(summed)]
        )

    monkeypatch.setattr(_Within, "_sum_up", counting)
    rows = [blob(7, 10 + n, f"{n:03}.c") for n in range(90)]
    random.Random(3).shuffle(rows)
    files = land(storage, CONTENTS, *([rows[n : n + 30]] for n in range(0, 90, 30)))
    bounds = Bounds(raw_bytes=1_600)
    pieces, found = rewritten(storage, CONTENTS, files, tmp_path / "scratch", bounds)
    assert summed
    assert max(summed) < 60
    assert len(pieces) > 3
    assert sorted(found, key=str) == sorted(rows, key=str)
    largest = max(sum(len(row["content"]) for row in found if row["name"] in names) for names in names_of(pieces, rows))
    assert largest <= bounds.raw_bytes * (1 + 1 / 8)


def names_of(pieces: Sequence[Piece], rows: Sequence[Cells]) -> list[set[str]]:
    """The names in each piece of a network of ``.c`` files."""
    starts = ["", *(piece.rows.low.name for piece in pieces[1:] if piece.rows.low is not None), "~"]
    return [{row["name"] for row in rows if low <= row["name"] < high} for low, high in pairwise(starts)]


def test_names_longer_than_what_keys_keep_are_in_one_piece_each(storage: LocalStorage, tmp_path: Path) -> None:
    rows = [blob(7, n, "long" * 40 + f"{n}.c") for n in range(40)]
    files = land(storage, CONTENTS, *([rows[n : n + 5]] for n in range(0, 40, 5)))
    _, found = rewritten(storage, CONTENTS, files, tmp_path / "scratch", Bounds(raw_bytes=900))
    assert sorted(found, key=str) == sorted(rows, key=str)


@pytest.mark.parametrize("bounds", [WIDE, Bounds(raw_bytes=600)])
def test_an_object_that_arrived_twice_is_kept_once_though_its_names_differ(
    storage: LocalStorage, tmp_path: Path, bounds: Bounds
) -> None:
    first, again = blob(7, 1, "a.c"), blob(7, 1, "z.py", at_head=True)
    elsewhere = blob(8, 1, "a.c")
    fill = [blob(7, 10 + n, f"m{n}.c") for n in range(30)]
    files = land(storage, CONTENTS, [[first, *fill[:15]]], [[*fill[15:], again, elsewhere]])
    pieces, found = rewritten(storage, CONTENTS, files, tmp_path / "scratch", bounds)
    assert (len(pieces) > 1) is (bounds is not WIDE)
    assert sorted(found, key=str) == sorted([{**first, "at_head": True}, elsewhere, *fill], key=str)


def test_ids_that_only_begin_alike_are_different_objects(storage: LocalStorage, tmp_path: Path) -> None:
    alike = [{**blob(7, n, f"{n}.c"), "oid": bytes(8) + n.to_bytes(12, "big")} for n in range(30)]
    files = land(storage, CONTENTS, [alike])
    pieces, found = rewritten(storage, CONTENTS, files, tmp_path / "scratch", Bounds(raw_bytes=600))
    assert len(pieces) > 1
    assert sorted(found, key=str) == sorted(alike, key=str)


@pytest.mark.parametrize("networks", [range(1, 41), [7] * 40], ids=["small networks", "one large network"])
def test_what_hardly_compresses_takes_longer_and_is_cut_into_more_pieces(
    storage: LocalStorage, tmp_path: Path, networks: Sequence[int]
) -> None:
    noise = random.Random(4).randbytes
    for contents, count in (([noise(100_000) for _ in networks], 5), ([bytes(100_000)] * len(networks), 1)):
        rows = [blob(at, n, f"{n:02}.c", content=contents[n]) for n, at in enumerate(networks)]
        files = land(storage, CONTENTS, [rows[:25], rows[25:]])
        bounds = Bounds(seconds=1.0)
        pieces, found = rewritten(storage, CONTENTS, files, tmp_path / "scratch", bounds)
        assert len(pieces) == count
        assert not any(too_large(piece, bounds) for piece in pieces)
        assert sorted(found, key=str) == sorted(rows, key=str)
        shutil.rmtree(Path(storage.root_uri.removeprefix("file://")))


def test_trees_have_no_sizes_and_are_cut_between_arrivals(storage: LocalStorage, tmp_path: Path) -> None:
    rows = [tree(7, n, b"100644 a\0" + bytes(20 + n % 7)) for n in range(90)]
    files = land(storage, TREES, [rows[:20], rows[20:40]], [rows[40:60]], [rows[60:]])
    pieces, found = rewritten(storage, TREES, files, tmp_path / "scratch", Bounds(raw_bytes=1_500))
    assert len(pieces) > 1
    assert found == rows


def test_objects_at_head_are_those_of_head_blobs_and_fill_files_of_their_own(
    storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [blob(network, n, f"{n}.c", at_head=n % 2 == 0) for network in (1, 2) for n in range(20)]
    contents = land(storage, CONTENTS, [rows])
    now = [{"bucket": BUCKET, "name": "p", "network": 1, "oid": n.to_bytes(20, "big")} for n in (3, 3, 5)]
    head = land(storage, HEAD_BLOBS, *([[row] for row in now],) * 2)
    monkeypatch.setattr("pipeline.maintain.sorted_rows.MOST_APART", 2)
    _, found = rewritten(storage, CONTENTS, contents, tmp_path / "scratch", WIDE, head)
    assert [(row["network"], row["oid"][-1]) for row in found if row["at_head"]] == [(1, 3), (1, 5)]
    assert [row["at_head"] for row in found] == [True] * 2 + [False] * 38
    assert rewritten(storage, CONTENTS, contents, tmp_path / "scratch", Bounds(raw_bytes=800), head)[1] != []


@pytest.mark.parametrize(("head_file_bytes", "files"), [(1, 2), (HEAD_FILE_BYTES, 1)])
def test_a_file_ends_where_head_ends_if_it_is_large_enough(tmp_path: Path, head_file_bytes: int, files: int) -> None:
    made = Files(CONTENTS, tmp_path, Layout(1, 100, head_file_bytes=head_file_bytes))
    for at_head in (True, True, False, False):
        made.write(pa.Table.from_pylist([blob(1, 1)], CONTENTS.arrow_schema), at_head=at_head)
    assert len(made.finish()) == files


def test_a_deletion_vector_that_is_gone_is_damage(storage: LocalStorage) -> None:
    (source,) = land(storage, CONTENTS, [[blob(1, 1)]])
    vector = Vector(storage.uri("tables/code/contents/data/gone.puffin"), 4, 40)
    with pytest.raises(StoredFileDamaged, match="gone"):
        cut(storage, CONTENTS, [Source(source.uri, 0, None, vector)], WIDE)


@pytest.mark.parametrize("column", ["network", "oid", "content"])
def test_a_row_group_whose_page_seems_to_be_of_another_kind_is_damage_and_not_empty(
    storage: LocalStorage, tmp_path: Path, column: str
) -> None:
    files = land(storage, CONTENTS, [some_blobs([1, 2], 30), some_blobs([3], 30)])
    path = Path(files[0].uri.removeprefix("file://"))
    data, at = bytearray(path.read_bytes()), CONTENTS.column_names.index(column)
    said = pq.read_metadata(path).row_group(0).column(at)
    data[(said.dictionary_page_offset or said.data_page_offset) + 1] ^= 2  # the header's first value, its type
    path.write_bytes(data)
    with pytest.raises(StoredFileDamaged, match=r"0\.parquet"):
        rewritten(storage, CONTENTS, files, tmp_path / "scratch")


def test_nothing_is_left_on_scratch_by_a_piece_that_fails(storage: LocalStorage, tmp_path: Path) -> None:
    files = land(storage, CONTENTS, [some_blobs([1, 2], 30)])
    (piece,) = cut(storage, CONTENTS, files, WIDE)
    path = storage.path_of(files[0].uri) or ""
    whole = storage.read(path)
    storage.replace(path, whole[:100] + bytes(len(whole) // 2) + whole[100 + len(whole) // 2 :])
    with pytest.raises(StoredFileDamaged):
        rewrite(storage, CONTENTS, BUCKET, piece, None, LAYOUT, tmp_path / "scratch")
    assert not list((tmp_path / "scratch").iterdir())


def test_a_full_scratch_disk_is_not_taken_for_a_damaged_file(storage: LocalStorage) -> None:
    files = land(storage, CONTENTS, [some_blobs([1], 30)])
    (piece,) = cut(storage, CONTENTS, files, WIDE)
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(ScratchFailed, match="No space left"):
        spool(storage, CONTENTS, piece, full)
