"""The refs of a plan: read one network at a time, also from plans of earlier versions, and noticed when lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.fetch import planned_refs
from pipeline.fetch.archived import ArchivedIds
from pipeline.fetch.bucket_plan import read_bucket_plan
from pipeline.fetch.network_state import NetworkState
from pipeline.fetch.planned_refs import BATCH_ROWS, MOST_HELD_BYTES, PlannedRef, PlannedRefs
from pipeline.model.layout import Load
from pipeline.rules.negotiation import Ref
from pipeline.storage import parquet
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.local import LocalStorage
from tests.fetch.archive import BUCKET, ORIGIN_COLUMNS, REF_COLUMNS, Archive, reachable
from tests.support.repos import add_commits, fork_of, many_small
from tests.support.servers import git_daemon

ROWS = [
    (network, f"git://h/{network}/{fork}", b"refs/heads/%d" % n, bytes([network] * 20), None, None)
    for network in range(1, 6)
    for fork in range(3)
    for n in range(50 * network)
]


def test_a_network_is_read_and_no_other(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    table = pa.Table.from_pylist([dict(zip(REF_COLUMNS.names, row, strict=True)) for row in ROWS], REF_COLUMNS)
    pq.write_table(table, tmp_path / "refs.parquet", row_group_size=64)
    planned = PlannedRefs(storage, ["refs.parquet"])
    for network in range(7):
        mine = [PlannedRef(r[1], r[2], Ref(r[3]), None) for r in ROWS if r[0] == network]
        assert list(planned.of(network)) == mine
        url = f"git://h/{network}/1"
        assert list(planned.of(network, url)) == [ref for ref in mine if ref.url == url]


def test_a_row_group_is_read_once_for_all_its_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are taken up in the order of the rows; what one of them costs does not grow with the bucket."""
    table = pa.Table.from_pylist([dict(zip(REF_COLUMNS.names, row, strict=True)) for row in ROWS], REF_COLUMNS)
    pq.write_table(table, tmp_path / "refs.parquet", row_group_size=1500)
    opened = []
    real = parquet.open_parquet_file

    def counted(storage: LocalStorage, path: str) -> AbstractContextManager[parquet.ArchiveFile]:
        opened.append(path)
        return real(storage, path)

    monkeypatch.setattr(planned_refs, "open_parquet_file", counted)
    planned = PlannedRefs(LocalStorage(tmp_path), ["refs.parquet"])
    for network in range(1, 6):
        assert [ref.url for ref in planned.of(network)] == [r[1] for r in ROWS if r[0] == network]
    assert len(opened) == 1 + 2, "the footer, and two row groups"


def test_a_row_group_that_is_small_only_in_its_file_is_not_held(tmp_path: Path) -> None:
    """A hostile name that is repeated takes no room in a row group, but in memory."""
    rows = 4 * MOST_HELD_BYTES // 60_000
    name, columns = b"refs/heads/" + b"x" * 60_000, [[1] * rows, [f"git://h/{n:05}" for n in range(rows)]]
    columns += [[name] * rows, [b"x" * 20] * rows, [None] * rows, [None] * rows]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, REF_COLUMNS, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=REF_COLUMNS), tmp_path / "refs.parquet")
    del arrays
    assert (tmp_path / "refs.parquet").stat().st_size < 1 << 20
    planned, before = PlannedRefs(LocalStorage(tmp_path), ["refs.parquet"]), pa.total_allocated_bytes()
    for number in (0, rows - 1):
        assert [ref.name for ref in planned.of(1, f"git://h/{number:05}")] == [name]
        assert pa.total_allocated_bytes() - before < MOST_HELD_BYTES


def test_refs_that_are_not_next_to_each_other_are_damage(tmp_path: Path) -> None:
    """Half of an origin's refs would pass for all of them. The damage is reported for each origin, and read once."""
    storage, path = LocalStorage(tmp_path), tmp_path / "refs.parquet"
    rows = [(1, url, name, b"x" * 20, None, None) for name in (b"HEAD", b"refs/heads/a") for url in ("a", "b")]
    table = pa.Table.from_pylist([dict(zip(REF_COLUMNS.names, row, strict=True)) for row in rows], REF_COLUMNS)
    pq.write_table(table, path)
    known = ArchivedIds(storage, lambda table: ())
    state = NetworkState(1, {}, known, PlannedRefs(storage, [path.name]))
    with pytest.raises(StoredFileDamaged, match="its refs for a are not next to each other"):
        state.read()
    path.unlink()
    with pytest.raises(StoredFileDamaged, match="its refs for a are not next to each other"):
        state.read()


def test_memory_is_that_of_a_batch_however_many_refs_there_are(tmp_path: Path) -> None:
    """Names of 64 MiB, of which Arrow holds a few MiB at a time."""
    rows = 64 * BATCH_ROWS
    names = [b"refs/heads/%01000d" % n for n in range(BATCH_ROWS)] * 64
    columns = [[1] * rows, ["git://h/r"] * rows, names, [b"x" * 20] * rows, [None] * rows, [None] * rows]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, REF_COLUMNS, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=REF_COLUMNS)
    pq.write_table(table, tmp_path / "refs.parquet", row_group_size=BATCH_ROWS, use_dictionary=False)
    del names, columns, arrays, table
    before, peak = pa.total_allocated_bytes(), 0
    for at, _ in enumerate(PlannedRefs(LocalStorage(tmp_path), ["refs.parquet"]).of(1), 1):
        peak = max(peak, pa.total_allocated_bytes() - before) if at % 100 == 0 else peak
    assert at == rows
    assert peak < 16 << 20


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[tuple[Archive, str, str, Load]]:
    """An origin, its fork and a plan to visit both again; the fork has a new commit."""
    served = tmp_path / "served"
    (repo,) = many_small(served, 1)
    fork = fork_of(repo, served / "fork.git")
    archive = Archive(tmp_path)
    with git_daemon(served) as server:
        url, forked = server.url(repo.name), server.url(fork.name)
        archive.fetch(url, (forked, url))
        add_commits(fork, 1)
        yield archive, url, forked, archive.plan(url, (forked, url))


def test_a_plan_of_an_earlier_version_is_followed(nights: tuple[Archive, str, str, Load]) -> None:
    """Its origins hold their refs in a list; such a load may be in progress when a new version is installed."""
    archive, url, forked, load = nights
    folder = archive.root / "archive"
    (path,) = (folder / load.plan_origins).rglob("*.parquet")
    (refs_path,) = (folder / load.plan_refs).rglob("*.parquet")
    refs = pq.read_table(refs_path).to_pylist()
    names = ("name", "target", "peeled", "symref")
    nested = [
        {**row, "refs": [{name: ref[name] for name in names} for ref in refs if ref["url"] == row["url"]]}
        for row in pq.read_table(path).to_pylist()
    ]
    ref = pa.struct([(name, pa.binary()) for name in names])
    pq.write_table(pa.Table.from_pylist(nested, ORIGIN_COLUMNS.append(pa.field("refs", pa.list_(ref)))), path)
    refs_path.unlink()
    night = archive.fetch_only(load)
    assert (night.line(url).status, night.line(forked).status) == ("unchanged", "full")
    all_ids = {bytes.fromhex(oid) for oid in reachable(archive.root / "served" / "fork.git")}
    known = archive.known().which(night.line(forked).network, all_ids)
    assert set(night.new_ids()) == {oid.hex() for oid in all_ids - known}
    assert known


def test_refs_that_are_lost_or_damaged_fail_the_visit(nights: tuple[Archive, str, str, Load]) -> None:
    """Without them, deleted refs would not be noticed. The origins stay due."""
    archive, url, _, load = nights
    (path,) = (archive.root / "archive" / load.plan_refs).rglob("*.parquet")
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    night = archive.fetch_only(load)
    assert {line.error for line in night.visits} == {"damaged"}
    assert path.name in str(night.line(url).detail)
    archive.storage.delete(load.manifest(BUCKET))
    path.unlink()
    night = archive.fetch_only(load)
    assert {line.error for line in night.visits} == {"damaged"}


def test_a_plan_is_read_without_its_refs(nights: tuple[Archive, str, str, Load]) -> None:
    archive, url, forked, load = nights
    plan = read_bucket_plan(archive.storage, load, BUCKET)
    assert {origin.url for origin in plan.origins} == {url, forked}
    assert list(plan.refs) == [entry.path for entry in archive.storage.list(f"{load.plan_refs}/bucket={BUCKET}")]


def test_memory_that_runs_out_is_no_damage(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    with (
        pytest.raises(MemoryError) as caught,
        parquet.open_parquet_file(LocalStorage(tmp_path), "x.parquet"),
    ):
        raise pa.ArrowMemoryError("no memory")
    assert not isinstance(caught.value, StoredFileDamaged)
