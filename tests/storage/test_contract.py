"""What every storage promises, on a local folder and on a real HDFS."""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.model.errors import UsageError
from pipeline.storage.errors import AlreadyThere, FileMissing, StorageError, UploadMismatch
from pipeline.storage.interface import Storage
from pipeline.storage.paths import is_temporary

RACERS = 8


def race(racer: Callable[[int], None], losing: tuple[type[Exception], ...]) -> list[int]:
    """Runs racers that start together; returns the numbers of the winners."""
    barrier = threading.Barrier(RACERS)

    def run(number: int) -> bool:
        barrier.wait(timeout=60)
        try:
            racer(number)
        except losing:
            return False
        return True

    with ThreadPoolExecutor(RACERS) as pool:
        return [number for number, won in enumerate(pool.map(run, range(RACERS))) if won]


def names(storage: Storage) -> list[str]:
    return [entry.path for entry in storage.walk()]


@pytest.mark.parametrize(
    "path", ["/a", "a//b", "a/", "../a", "a/../b", "./a", "a/.", "", "hdfs://x/y", "a:b", "a\\b", "a\nb", "a\0b"]
)
def test_paths_outside_the_root_are_refused(storage: Storage, path: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: storage.open(path),
        lambda: storage.read(path),
        lambda: storage.create(path, b""),
        lambda: storage.replace(path, b""),
        lambda: storage.upload(Path(__file__), path),
        lambda: storage.rename(path, "b"),
        lambda: storage.rename("b", path),
        lambda: storage.delete(path),
    ]
    if path:
        calls += [lambda: storage.stat(path), lambda: storage.list(path), lambda: storage.uri(path)]
    for call in calls:
        with pytest.raises(UsageError):
            call()
    assert names(storage) == []


@pytest.mark.parametrize("name", ["a b", "ü", "%41", "a+b", "a=b", "a#LATEST", "a&b?c", "[x]", "~t", "a;b", "'q'"])
def test_strange_names_come_back_as_they_are(storage: Storage, name: str) -> None:
    storage.create(f"d {name}/{name}", b"x")
    assert names(storage) == [f"d {name}/{name}"]
    assert storage.read(f"d {name}/{name}") == b"x"
    storage.rename(f"d {name}/{name}", f"d {name}/new {name}")
    assert names(storage) == [f"d {name}/new {name}"]


def test_an_empty_storage(storage: Storage) -> None:
    assert storage.stat("") is None
    assert storage.list() == []
    assert list(storage.walk("nothing/here")) == []
    assert storage.delete("nothing") is False


def test_stat_and_list(storage: Storage) -> None:
    storage.create("b/two", b"22")
    storage.create("b/one", b"1")
    storage.create("b/c/three", b"333")
    storage.create("a", b"")
    file = storage.stat("b/two")
    assert file is not None
    assert (file.path, file.size_bytes, file.is_dir) == ("b/two", 2, False)
    assert file.modified_at > 1_600_000_000
    folder = storage.stat("b")
    assert folder is not None
    assert (folder.is_dir, folder.size_bytes) == (True, 0)
    assert storage.stat("b/none") is None
    assert storage.stat("b/two/none") is None
    assert [(e.path, e.size_bytes, e.is_dir) for e in storage.list("b")] == [
        ("b/c", 0, True),
        ("b/one", 1, False),
        ("b/two", 2, False),
    ]
    assert sorted(names(storage)) == ["a", "b/c/three", "b/one", "b/two"]
    assert [e.path for e in storage.walk("b/c")] == ["b/c/three"]
    with pytest.raises(StorageError):
        storage.list("a")


def test_a_missing_file_is_named(storage: Storage) -> None:
    storage.create("there", b"")
    for call in (storage.open, storage.read):
        with pytest.raises(FileMissing) as caught:
            call("dir/missing")
        assert caught.value.path == "dir/missing"
    with pytest.raises(FileMissing):
        storage.rename("missing", "elsewhere")
    assert names(storage) == ["there"]


def test_a_folder_is_not_a_file(storage: Storage) -> None:
    storage.create("d/f", b"1")
    with pytest.raises(StorageError):
        storage.open("d")
    with pytest.raises(StorageError):
        storage.read("d")
    for write in (storage.create, storage.replace):
        with pytest.raises(AlreadyThere):
            write("d", b"2")
        with pytest.raises(StorageError):
            write("d/f/g", b"2")
    assert names(storage) == ["d/f"]


@pytest.mark.parametrize("data", [b"", b"short", bytes(range(256)) * 20_000])
def test_create_reads_back_and_never_overwrites(storage: Storage, data: bytes) -> None:
    storage.create("d/file", data)
    assert storage.read("d/file") == data
    with pytest.raises(AlreadyThere) as caught:
        storage.create("d/file", b"other")
    assert caught.value.path == "d/file"
    assert storage.read("d/file") == data
    assert names(storage) == ["d/file"]


def test_racing_creators_have_one_winner(storage: Storage) -> None:
    winners = race(lambda number: storage.create("d/lock", b"%d" % number), losing=(AlreadyThere,))
    assert len(winners) == 1
    assert storage.read("d/lock") == b"%d" % winners[0]
    assert names(storage) == ["d/lock"]


def test_replace_writes_new_and_over_old(storage: Storage) -> None:
    storage.replace("d/file", b"old, and longer")
    storage.replace("d/file", b"new")
    assert storage.read("d/file") == b"new"
    assert names(storage) == ["d/file"]


def test_readers_of_a_replaced_file_see_one_version(storage: Storage) -> None:
    versions = {bytes([number]) * 70_000 * (number + 1) for number in range(4)}
    storage.create("file", next(iter(versions)))
    done = threading.Event()

    def replace() -> None:
        try:
            for _ in range(3):
                for version in versions:
                    storage.replace("file", version)
        finally:
            done.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(replace)
        reads = 0
        while not done.is_set() or reads == 0:
            assert storage.read("file") in versions
            reads += 1
        writing.result()


def test_upload_says_what_it_sent(storage: Storage, tmp_path: Path) -> None:
    data = bytes(range(251)) * 20_000
    local = tmp_path / "local"
    local.write_bytes(data)
    uploaded = storage.upload(local, "d/file")
    assert (uploaded.path, uploaded.size_bytes) == ("d/file", len(data))
    assert uploaded.sha256 == hashlib.sha256(data).hexdigest()
    assert storage.read("d/file") == data
    assert names(storage) == ["d/file"]


def test_upload_never_overwrites(storage: Storage, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(b"new")
    storage.create("d/file", b"old")
    for taken in ("d/file", "d"):
        with pytest.raises(AlreadyThere):
            storage.upload(local, taken)
    assert storage.read("d/file") == b"old"
    assert names(storage) == ["d/file"]


def test_racing_uploads_have_one_winner(storage: Storage, tmp_path: Path) -> None:
    for number in range(RACERS):
        (tmp_path / str(number)).write_bytes(b"%d" % number)
    winners = race(lambda number: void(storage.upload(tmp_path / str(number), "d/file")), losing=(AlreadyThere,))
    assert len(winners) == 1
    assert storage.read("d/file") == b"%d" % winners[0]
    assert names(storage) == ["d/file"]


def void(_: object) -> None:
    """Forgets a result."""


class TornFile:
    """A local path whose file raises an error after some bytes."""

    def open(self, mode: str) -> TornFile:
        assert mode == "rb"
        self.left = 3
        return self

    def read(self, size: int) -> bytes:
        if not self.left:
            raise RuntimeError("the process dies here")
        self.left -= 1
        return b"x" * size

    def __enter__(self) -> TornFile:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_a_torn_upload_leaves_nothing(storage: Storage) -> None:
    with pytest.raises(RuntimeError, match="dies here"):
        storage.upload(TornFile(), "d/file")  # type: ignore[arg-type]
    assert storage.stat("d/file") is None
    left = names(storage)
    assert all(map(is_temporary, left))
    if storage.root_uri.startswith("file:"):  # a DataNode may still be busy with it
        assert left == []


def test_an_upload_that_changed_on_the_way_is_refused(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "local"
    local.write_bytes(b"a" * 100_000)
    seen: list[str] = []
    if hasattr(storage, "_verify"):
        verify = storage._verify

        def flip(path: str, temporary: str, size: int, sha256: str) -> None:
            seen.append(temporary)
            storage.replace(temporary, b"a" * 99_999 + b"b")
            verify(path, temporary, size, sha256)

        monkeypatch.setattr(storage, "_verify", flip)
    else:
        file_digest = hashlib.file_digest

        def flip_file(file: object, name: str) -> object:
            seen.append(file.name)  # type: ignore[attr-defined]
            Path(file.name).write_bytes(b"a" * 99_999 + b"b")  # type: ignore[attr-defined]
            return file_digest(file, name)  # type: ignore[arg-type]

        monkeypatch.setattr(hashlib, "file_digest", flip_file)
    with pytest.raises(UploadMismatch) as caught:
        storage.upload(local, "d/file")
    assert caught.value.retryable
    assert len(seen) == 1
    assert is_temporary(str(seen[0]))
    assert names(storage) == []


def test_rename_moves_files_and_folders(storage: Storage) -> None:
    storage.create("a/f", b"1")
    storage.rename("a/f", "new/folder/g")
    assert storage.read("new/folder/g") == b"1"
    storage.rename("new", "b/new")
    assert names(storage) == ["b/new/folder/g"]


def test_rename_refuses_what_exists(storage: Storage) -> None:
    storage.create("file", b"1")
    storage.create("other", b"2")
    storage.create("folder/in", b"3")
    storage.create("empty/in", b"4")
    storage.delete("empty/in")
    for src in ("file", "folder"):
        for dst in ("other", "empty", "folder" if src == "file" else "file"):
            with pytest.raises(AlreadyThere) as caught:
                storage.rename(src, dst)
            assert caught.value.path == dst
    assert sorted(names(storage)) == ["file", "folder/in", "other"]
    assert storage.read("other") == b"2"


def test_racing_renames_of_one_file_have_one_winner(storage: Storage) -> None:
    storage.create("file", b"1")
    winners = race(lambda number: storage.rename("file", f"moved/{number}"), losing=(FileMissing,))
    assert len(winners) == 1
    assert names(storage) == [f"moved/{winners[0]}"]


def test_racing_renames_to_one_name_have_one_winner(storage: Storage) -> None:
    for number in range(RACERS):
        storage.create(f"from/{number}", b"%d" % number)
    winners = race(lambda number: storage.rename(f"from/{number}", "to"), losing=(AlreadyThere,))
    assert len(winners) == 1
    assert storage.read("to") == b"%d" % winners[0]
    assert len(storage.list("from")) == RACERS - 1


def test_delete(storage: Storage) -> None:
    storage.create("d/e/f", b"1")
    with pytest.raises(StorageError):
        storage.delete("d")
    assert storage.delete("d/e/f") is True
    assert storage.delete("d/e/f") is False
    assert storage.delete("d/e") is True
    storage.create("d/e/f", b"1")
    assert storage.delete("d", recursive=True) is True
    assert storage.list() == []


def test_open_reads_ranges(storage: Storage) -> None:
    data = b"".join(number.to_bytes(4, "big") for number in range(1_000_000))
    storage.create("file", data)
    with storage.open("file") as stream:
        assert stream.seekable()
        assert stream.read(8) == data[:8]
        assert stream.seek(2_000_001) == 2_000_001
        assert stream.read(5) == data[2_000_001:2_000_006]
        assert stream.read(1_500_000) == data[2_000_006:3_500_006]
        assert stream.seek(-3, 2) == len(data) - 3
        assert stream.read(10) == data[-3:]
        assert stream.read(10) == b""
        assert stream.seek(len(data) + 5) == len(data) + 5
        assert stream.read() == b""
        stream.seek(0)
        assert stream.read() == data


def test_parquet_is_read_by_column(storage: Storage, tmp_path: Path) -> None:
    table = pa.table({"number": list(range(100_000)), "text": [f"row {number}" for number in range(100_000)]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=10_000)
    storage.upload(tmp_path / "t.parquet", "t.parquet")
    with storage.open("t.parquet") as stream:
        file = pq.ParquetFile(stream)
        assert file.num_row_groups == 10
        assert file.read_row_group(7, columns=["text"])["text"][3].as_py() == "row 70003"
        assert file.read().equals(table)


def test_a_storage_can_be_sent_to_another_process(storage: Storage) -> None:
    storage.create("file", b"1")
    assert pickle.loads(pickle.dumps(storage)).read("file") == b"1"
