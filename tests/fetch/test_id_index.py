"""How many data files are opened to learn what the archive has: the cost of a visit must not grow with the nights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.fetch import id_index
from pipeline.fetch.archived import ArchivedIds
from pipeline.fetch.batches import Batches, in_arrow
from pipeline.fetch.landing import Landing
from pipeline.fetch.planned_files import DataFile, PlannedFiles
from pipeline.fetch.shelf import Shelf
from pipeline.model.objects import BLOB, TREE
from pipeline.model.rows import BlobRow, ContentRow, TreeRow
from pipeline.model.tables import BLOBS, CONTENTS, TREES
from pipeline.storage.errors import StorageError, StoredFileDamaged
from pipeline.storage.local import LocalStorage
from tests.fetch.archive import Archive
from tests.git.packs import oid_of
from tests.support.repos import add_commits, build_graph
from tests.support.servers import git_daemon

NETWORKS = range(100)
TABLES = (TREES.name, BLOBS.name, CONTENTS.name)


class Watched(LocalStorage):
    """Writes the path of every file that any process opens to a file beside the archive."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.folder, self._log = root, root.with_name("opened.txt")

    def open(self, path: str) -> BinaryIO:
        with self._log.open("a") as log:
            log.write(f"{path}\n")
        return super().open(path)

    def opened(self) -> list[str]:
        """Paths in order since the last call."""
        found = self._log.read_text().splitlines() if self._log.exists() else []
        self._log.unlink(missing_ok=True)
        return found


@pytest.fixture
def storage(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "archive")


def blob(network: int, night: int) -> bytes:
    return b"%d of %d" % (network, night)


def tree(network: int, night: int) -> bytes:
    return b"100644 %d\0" % network + oid_of(BLOB, blob(network, night))


def land(storage: Watched, night: int, networks: Sequence[int]) -> list[tuple[str, DataFile]]:
    """Files of a night in which each network got a tree and a blob."""
    folder = storage.folder / f"night-{night}"
    landing = Landing(folder)
    rows = Batches(in_arrow(landing.append))
    for network in networks:
        name, data = oid_of(BLOB, blob(network, night)), blob(network, night)
        rows.add(TREES, TreeRow(0, network, oid_of(TREE, tree(network, night)), True, tree(network, night)))
        rows.add(BLOBS, BlobRow(0, network, name, bytes(32), len(data), "a", "", is_binary=False, stored="yes"))
        rows.add(CONTENTS, ContentRow(0, network, name, len(data), "", "a", at_head=True, content=data))
    rows.flush()
    bounds = (min(networks), max(networks))
    return [(file.table, DataFile(f"night-{night}/{file.path.name}", bounds)) for file in landing.finish()]


def known(storage: LocalStorage, files: Sequence[tuple[str, DataFile]], shelf: Shelf | None = None) -> ArchivedIds:
    return ArchivedIds(storage, lambda table: [file for name, file in files if name == table], shelf)


def ids(network: int, nights: Sequence[int]) -> set[bytes]:
    return {oid for n in nights for oid in (oid_of(BLOB, blob(network, n)), oid_of(TREE, tree(network, n)))}


@pytest.mark.parametrize("nights", [range(10), range(60)], ids=["ten", "sixty"])
def test_each_file_of_each_night_is_opened_once_for_all_networks(nights: range, storage: Watched) -> None:
    files = [file for night in nights for file in land(storage, night, NETWORKS)]
    archived = known(storage, files)
    nobody = ids(len(NETWORKS), [0])
    for network in NETWORKS:
        assert archived.which(network, ids(network, nights) | ids(network + 1, nights) | nobody) == ids(network, nights)
    assert sorted(storage.opened()) == sorted(file.path for table, file in files if table != CONTENTS.name)


@pytest.mark.parametrize("small_rows", [0, id_index.SMALL_ROWS])
def test_workers_share_what_they_have_opened(
    small_rows: int, storage: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids as well as bounds of row groups whose ids are not kept; files of other networks are opened when needed."""
    monkeypatch.setattr(id_index, "SMALL_ROWS", small_rows)
    nights, later = range(20), range(20, 40)
    files = [file for night in nights for file in land(storage, night, range(10, 30))]
    files += [file for night in later for file in land(storage, night, range(20, 40))]
    first, second, third = (known(storage, files, Shelf(tmp_path / "shelf")) for _ in range(3))
    assert first.which(10, ids(10, nights) | ids(15, nights)) == ids(10, nights)
    assert second.which(25, ids(25, [*nights, *later])) == ids(25, [*nights, *later])
    opened = storage.opened()
    footers = sorted(file.path for table, file in files if table != CONTENTS.name)
    assert sorted(opened) == footers if small_rows else set(opened) == set(footers)
    assert third.which(35, ids(35, later) | ids(36, later)) == ids(35, later)
    read = sorted(footer for footer in footers if int(footer[6:].partition("/")[0]) in later)
    assert sorted(storage.opened()) == ([] if small_rows else read), "ids that are not kept are read"
    for archived in (first, second, third):
        assert archived.which(29, ids(29, [*nights, *later])) == ids(29, [*nights, *later])
        loaded = list(archived.load(29, ids(29, [0, 39]), [BLOB, TREE]))
        assert sorted(found.oid for found in loaded) == sorted(ids(29, [0, 39]))


def test_what_others_have_opened_is_not_kept_beyond_the_limit(
    storage: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights = range(10)
    files = [file for night in nights for file in land(storage, night, NETWORKS)]
    assert known(storage, files, Shelf(tmp_path)).which(5, ids(5, nights)) == ids(5, nights)
    assert list(tmp_path.glob("*.arrow"))
    monkeypatch.setattr(id_index, "KEPT_BYTES", 999 * 32)
    storage.opened()
    assert known(storage, files, Shelf(tmp_path)).which(5, ids(5, nights)) == ids(5, nights)
    assert len(set(storage.opened())) == 2 * len(nights)


def test_few_files_are_not_shared(storage: Watched, tmp_path: Path) -> None:
    """Those of a compacted bucket have networks of their own, which no other worker looks up."""
    files = [file for night in range(id_index.MANY_FILES - 1) for file in land(storage, night, NETWORKS)]
    known(storage, files, Shelf(tmp_path / "shelf")).which(5, ids(5, [0]))
    assert not (tmp_path / "shelf").exists()


@pytest.mark.parametrize("content", [None, b"", b"no Arrow file"], ids=["no folder", "an empty file", "another file"])
def test_sharing_that_fails_costs_only_time(content: bytes | None, storage: Watched, tmp_path: Path) -> None:
    nights = range(10)
    files = [file for night in nights for file in land(storage, night, NETWORKS)]
    folder = tmp_path / "shelf"
    if content is None:
        folder.write_bytes(b"")
    else:
        folder.mkdir()
        (folder / "blobs-1.arrow").write_bytes(content)
    for network in (5, 6):
        assert known(storage, files, Shelf(folder)).which(network, ids(network, nights)) == ids(network, nights)


def test_only_files_with_the_bytes_asked_for_are_read(storage: Watched) -> None:
    nights = range(10)
    files = [file for night in nights for file in land(storage, night, NETWORKS)]
    archived = known(storage, files)
    wanted = ids(5, [3])
    assert {found.body for found in archived.load(5, wanted, [BLOB, TREE])} == {blob(5, 3), tree(5, 3)}
    storage.opened()
    assert len(list(archived.load(6, ids(6, [4, 7]), [BLOB, TREE]))) == 4
    assert sorted(storage.opened()) == sorted(
        file.path for table, file in files if table != BLOBS.name and file.path[6] in "47"
    )


@pytest.mark.parametrize("kept_bytes", [0, 100 * 32 + 31, 1 << 20])
def test_ids_that_are_not_kept_are_read(kept_bytes: int, storage: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit may be reached anywhere; what is found is the same."""
    monkeypatch.setattr(id_index, "KEPT_BYTES", kept_bytes)
    nights = range(3)
    archived = known(storage, [file for night in nights for file in land(storage, night, NETWORKS)])
    for network in (0, 50, 99):
        assert archived.which(network, ids(network, nights) | ids(1, nights)) == ids(network, nights)
        assert len(list(archived.load(network, ids(network, nights), [BLOB, TREE]))) == 6


def test_files_and_large_row_groups_of_other_networks_stay_closed(
    storage: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a compacted bucket, in which every file has a range of networks of its own."""
    monkeypatch.setattr(id_index, "SMALL_ROWS", 0)
    ranges = [range(begin, begin + 10) for begin in NETWORKS[::10]]
    files = [file for night, networks in enumerate(ranges) for file in land(storage, night, networks)]
    archived = known(storage, files)
    assert archived.which(35, ids(35, [3, 4])) == ids(35, [3])
    assert {path.partition("/")[0] for path in storage.opened()} == {"night-3"}
    assert archived.which(1000, ids(35, [3])) == set()
    assert storage.opened() == []
    unknown = known(storage, [(table, DataFile(file.path)) for table, file in files])
    assert unknown.which(1000, ids(35, [3])) == set()
    assert len(storage.opened()) == 2 * len(ranges)
    assert unknown.which(1001, ids(35, [3])) == set()
    assert storage.opened() == []


def test_a_damaged_file_is_damaged_for_every_network_that_it_may_have(storage: Watched) -> None:
    files = land(storage, 0, range(10)) + land(storage, 1, range(5, 20))
    damaged = next(file for table, file in files if table == BLOBS.name)
    whole = storage.read(damaged.path)
    storage.replace(damaged.path, whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
    archived = known(storage, files)
    for network in (7, 8, 7):
        with pytest.raises(StoredFileDamaged, match=damaged.path):
            archived.which(network, ids(network, [0, 1]))
    assert archived.which(15, ids(15, [1])) == ids(15, [1])
    storage.replace(damaged.path, whole)
    assert archived.which(7, ids(7, [0, 1])) == ids(7, [0, 1])


def test_a_night_without_news_opens_no_data_file_nor_their_list(root: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        build_graph(root / f"{name}.git", [[1], [2, 1]])
    archive = Archive(tmp_path, concurrency=1)
    archive.storage = storage = Watched(tmp_path / "archive")
    with git_daemon(root) as server:
        urls = [server.url("a.git"), server.url("b.git")]
        archive.fetch(*urls)
        archive.plan(*urls)
        storage.opened()
        quiet = archive.fetch(*urls)
        assert {line.status for line in quiet.visits} == {"unchanged"}
        assert not [path for path in storage.opened() if "plan/files" in path or "/landing/" in path]
        for name in ("a", "b"):
            add_commits(root / f"{name}.git", 3, label=name)
        storage.opened()
        busy = archive.fetch_only(archive.plan(*urls))
        assert {line.status for line in busy.visits} == {"full"}
        opened = [path for path in storage.opened() if "/landing/" in path or "plan/files" in path]
        assert len(opened) == len(set(opened)) > 1


def test_each_file_is_opened_by_one_worker_of_a_task(root: Path, tmp_path: Path) -> None:
    names, nights = [f"{number}.git" for number in range(4)], id_index.MANY_FILES
    for name in names:
        build_graph(root / name, [[1], [2, 1]])
    archive = Archive(tmp_path, concurrency=len(names))
    archive.storage = storage = Watched(tmp_path / "archive")
    with git_daemon(root) as server:
        urls = list(map(server.url, names))
        for number in range(3, 3 + nights):
            archive.fetch(*urls)
            for name in names:
                add_commits(root / name, 1, label=f"{name} {number}")
        load = archive.plan(*urls)
        storage.opened()
        assert {line.status for line in archive.fetch_only(load).visits} == {"full"}
    opened = [path for path in storage.opened() if "/landing/" in path]
    assert len(opened) == len(set(opened)) == 3 * nights
    assert not archive.left_in_scratch()


@pytest.mark.parametrize("bounds", [{}, {"network_min": [3], "network_max": [5]}], ids=["earlier version", "ours"])
def test_a_plan_of_an_earlier_version_knows_no_networks(bounds: dict[str, list[int]], storage: Watched) -> None:
    rows = {"table": ["blobs"], "uri": [storage.uri("tables/x.parquet")], "rows": [1], **bounds}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(rows), sink)
    storage.replace("plan/files.parquet", sink.getvalue().to_pybytes())
    (file,) = PlannedFiles(storage, ["plan/files.parquet"]).of("blobs")
    assert file == DataFile("tables/x.parquet", (3, 5) if bounds else None)
    assert [file.may_hold(network) for network in (2, 3, 5, 6)] == [not bounds, True, True, not bounds]


def test_a_file_outside_the_archive_is_no_origins_failure(storage: Watched) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"table": ["blobs"], "uri": ["file:///elsewhere/x.parquet"]}), sink)
    storage.replace("plan/files.parquet", sink.getvalue().to_pybytes())
    with pytest.raises(StorageError, match="outside the archive"):
        PlannedFiles(storage, ["plan/files.parquet"]).of("blobs")
