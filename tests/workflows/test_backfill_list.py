"""Files of very many origins."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.context.archive import begun_loads
from pipeline.maintain.loads import load_states
from pipeline.model.layout import Load
from pipeline.model.origin import Origin
from pipeline.model.origin_list import BadOriginList
from pipeline.storage.local import LocalStorage
from pipeline.workflows import backfill_list
from pipeline.workflows.backfill_batch import begin_batch
from pipeline.workflows.backfill_list import OriginFile, OriginListChanged
from tests.e2e.archive import night

A, B, C = (f"https://example.org/{name}" for name in "abc")


def write(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "list.txt"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
    return path


def test_each_url_comes_once_in_order(tmp_path: Path) -> None:
    path = write(tmp_path, "# many", A, "", f"{B} {A}  # a fork", A, C, f"{B} {A}", f"{A}/")
    origins = OriginFile.check(path)
    assert len(origins) == 3
    assert list(origins) == list(origins) == [Origin(A), Origin(B, A), Origin(C)]


def test_all_bad_lines_are_told(tmp_path: Path) -> None:
    path = write(tmp_path, A, "example.org/x.git", f"{A} {B}", "https://example.org/\udcff", "https://a b c", B)
    with pytest.raises(BadOriginList) as caught:
        OriginFile.check(path)
    assert [number for number, _ in caught.value.problems] == [2, 3, 4, 5]
    assert dict(caught.value.problems)[3] == "line 1 has the same URL, as a fork of something else"
    assert "nothing was added, 4 lines cannot be used" in str(caught.value)
    str(caught.value).encode()


def test_the_wrong_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = write(tmp_path, *["nonsense"] * (2 * backfill_list.MOST_PROBLEMS))
    with pytest.raises(BadOriginList) as caught:
        OriginFile.check(path)
    assert len(caught.value.problems) == backfill_list.MOST_PROBLEMS


@pytest.mark.parametrize("later", [[A], [A, B, C], [A, "nonsense"]])
def test_a_file_that_changes_is_found_out(tmp_path: Path, later: list[str]) -> None:
    origins = OriginFile.check(write(tmp_path, A, B))
    write(tmp_path, *later)
    with pytest.raises(OriginListChanged):
        list(origins)


def test_batches_never_share_a_name(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    first = begin_batch(storage, night(1), [Origin(A), Origin(B, A)])
    assert first == Load.of_batch(night(1), 1)
    assert storage.read(first.batch_list).decode() == f"{A}\n{B} {A}\n"
    assert begin_batch(storage, night(2), [Origin(A)]).batch_number == 1
    assert begin_batch(storage, night(1), [Origin(A)]).name == "2026-11-01-backfill-00002"
    storage.delete(first.root, recursive=True)
    storage.delete(Load.of_batch(night(1), 2).root, recursive=True)
    storage.create("tables/code/visits/data/2026-11-01-backfill-00002/bucket=0/x.parquet", b"")
    assert begin_batch(storage, night(1), [Origin(A)]).batch_number == 3


@pytest.mark.parametrize(
    ("name", "number"),
    [("2026-11-01", None), ("2026-11-01-backfill-00012", 12), ("2026-11-01-backfill-123456", 123456)],
)
def test_numbers_of_batches(name: str, number: int | None) -> None:
    load = Load.named(name)
    assert load is not None
    assert (load.name, load.batch_number) == (name, number)


@pytest.mark.parametrize(
    "name",
    [
        "2026-11-01.bak", "2026-11-01 copy", "2026-11-01-x", "2026-11-01-backfill-", "2026-11-01-backfill-7",
        "2026-11-01-backfill-000007", "2026-11-01-backfill-00012.bak", "2026-11-01-backfill-0001\u0662", "20261101",
        "2026-W44-7", "2026-11-1", "2026-02-30", "2026-11-01\n", "", "lost+found",
    ],
)  # fmt: skip
def test_other_names_are_no_load_s(name: str) -> None:
    assert Load.named(name) is None


def test_copies_of_loads_are_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = LocalStorage(tmp_path)
    begun = begin_batch(storage, night(1), [Origin(A)])
    storage.create("runs/2026-11-01.bak/plan/plan.json", b"{}")
    storage.create("runs/notes.txt", b"")
    for _ in range(2):
        assert begun_loads(storage) == {begun: False}
        assert [state.load for state in load_states(storage)] == [begun]
    assert [record.message.partition("/runs/")[2] for record in caplog.records] == [
        "2026-11-01.bak is not a load's folder and is ignored; move it out of runs/"
    ]
