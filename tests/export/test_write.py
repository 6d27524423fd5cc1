"""Shards as a worker writes them, from data files of several row groups; without Spark."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.model.tables import CONTENTS
from pipeline.read.export import run_export
from pipeline.read.export.card import card
from pipeline.read.export.choose import PREFERENCE
from pipeline.read.export.columns import CHOSEN, MEANING, MISSING, ROWS
from pipeline.read.export.destination import Replaced
from pipeline.read.export.manifest import CARD, DATA, MANIFEST, PLAN, WORK, Manifest, Plan, Recipe, Shard
from pipeline.read.export.near import MOST_TASKS, TASK_BYTES, Signer, task_count
from pipeline.read.export.run_export import OtherExport
from pipeline.read.export.selection import Selection
from pipeline.read.export.shard_file import writing_programs
from pipeline.read.export.write import ShardWriter
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Uploaded
from pipeline.storage.local import LocalStorage
from pipeline.storage.parquet import SealedWriter
from tests.tables.landing import oid_of

TEXTS = [b"x = %d\n" % at * (at + 1) for at in range(30)]
LONG = b" ".join(b"%d" % at for at in range(99))
"""The only text of which a signature is made: the others have few different shingles."""

TEXTS.insert(7, LONG)
LATIN, NUL = LONG + b"caf\xe9\n", LONG + b"a\0b\n"
CONTENTS_OF = {"one.parquet": [*TEXTS[:16], LATIN], "two.parquet": [NUL, *TEXTS[16:]]}


@pytest.fixture
def source(tmp_path: Path) -> LocalStorage:
    """Two data files with row groups of four rows."""
    for name, contents in CONTENTS_OF.items():
        (tmp_path / "archive").mkdir(exist_ok=True)
        rows = [{"oid": oid_of(b"blob", content), "content": content} for content in contents]
        whole = [{column: row.get(column) for column in CONTENTS.column_names} for row in rows]
        with SealedWriter(tmp_path / "archive" / name, CONTENTS.arrow_schema) as writer:
            writer.write_table(pa.Table.from_pylist(whole, CONTENTS.arrow_schema), row_group_size=4)
    return LocalStorage(tmp_path / "archive")


def chosen(source: LocalStorage, every: int = 1) -> pa.RecordBatch:
    """The rows of one shard as Spark sends them: every so many of all contents."""
    when = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)
    common = {"language": "Python", "is_vendor": False, "origin": "https://example.org/a", "visit_date": when}
    rows = [
        {
            "shard": 1, "bucket": 0, "uri": source.uri(name), "position": at, "content_id": oid_of(b"blob", text).hex(),
            "length_bytes": len(text), **common,
        }
        for name, texts in CONTENTS_OF.items()
        for at, text in enumerate(texts)
    ]  # fmt: skip
    places = pa.schema([("shard", pa.int32()), ("bucket", pa.int32()), ("uri", pa.string()), ("position", pa.int64())])
    schema = pa.schema([*places, *CHOSEN])
    return pa.RecordBatch.from_pylist([{n: row.get(n) for n in schema.names} for row in rows[::every]], schema)


def recipe(**options: object) -> Recipe:
    return Recipe(
        archive="file:///archive",
        night=date(2026, 11, 2),
        snapshots={"contents": 7},
        selection=Selection.model_validate(options),
        program=writing_programs(),
    )


def plan(**options: object) -> Plan:
    return Plan(**dict(recipe(**options)), rows=33, shards=2, checksum="1")


def written(source: LocalStorage, to: Path, rows: pa.RecordBatch, **options: object) -> Shard:
    LocalStorage(to).replace(PLAN, plan(**options).model_dump_json().encode())
    writer = ShardWriter(source, LocalStorage(to), plan(**options))
    halves = [rows.slice(0, len(rows) // 2), rows.slice(len(rows) // 2)]
    (batch,) = writer(halves)
    return Shard.model_validate_json(batch["record"][0].as_py())


@pytest.mark.parametrize("every", [1, 5])
def test_a_shard_has_the_chosen_texts_in_order(source: LocalStorage, tmp_path: Path, every: int) -> None:
    shard = written(source, tmp_path / "out", chosen(source, every))
    assert shard.path == "data/train-00001-of-00002.parquet"
    table = pq.read_table(tmp_path / "out" / shard.path)
    assert table.schema.equals(ROWS)
    everything = [text for texts in CONTENTS_OF.values() for text in texts][::every]
    assert [text.encode() for text in table["content"].to_pylist()] == [t for t in everything if t in TEXTS]
    assert sum(shard.left_out.values()) == len([text for text in everything if text not in TEXTS])
    assert shard.languages["Python"].rows == len(table)
    assert shard.languages["Python"].content_bytes == sum(table["length_bytes"].to_pylist())
    assert (tmp_path / "out" / shard.record).read_text() == shard.model_dump_json()


def test_why_a_file_is_left_out(source: LocalStorage, tmp_path: Path) -> None:
    assert written(source, tmp_path / "out", chosen(source)).left_out == {"binary": 1, "not UTF-8": 1}


def test_another_attempt_gives_the_same_bytes_and_mends_half_a_shard(source: LocalStorage, tmp_path: Path) -> None:
    shard = written(source, tmp_path / "out", chosen(source))
    path = tmp_path / "out" / shard.path
    data, inode = path.read_bytes(), path.stat().st_ino
    assert written(source, tmp_path / "out", chosen(source)) == shard
    assert path.stat().st_ino == inode
    path.write_bytes(data[:-1])
    assert written(source, tmp_path / "out", chosen(source)) == shard
    assert path.read_bytes() == data


def test_lines_of_json(source: LocalStorage, tmp_path: Path) -> None:
    shard = written(source, tmp_path / "out", chosen(source), format="jsonl")
    assert shard.path.endswith(".jsonl.gz")
    lines = [json.loads(line) for line in gzip.decompress((tmp_path / "out" / shard.path).read_bytes()).splitlines()]
    assert [line["content"].encode() for line in lines] == TEXTS
    assert list(lines[0]) == ROWS.names
    assert lines[0]["visit_date"] == "2026-11-02T03:04:05Z"


def test_no_rows_are_no_shard(source: LocalStorage, tmp_path: Path) -> None:
    assert list(ShardWriter(source, LocalStorage(tmp_path / "out"), plan())([chosen(source).slice(0, 0)])) == []


def test_another_content_at_the_place_is_damage(source: LocalStorage, tmp_path: Path) -> None:
    rows = chosen(source)
    wrong = rows.slice(0, 4).set_column(3, "position", pa.array([1, 2, 3, 4], pa.int64()))
    with pytest.raises(StoredFileDamaged, match="other contents"):
        written(source, tmp_path / "out", wrong)
    beyond = rows.slice(15, 1).set_column(3, "position", pa.array([99], pa.int64()))
    with pytest.raises(StoredFileDamaged, match="fewer rows"):
        written(source, tmp_path / "out", beyond)


def test_the_card_can_be_parsed_and_names_what_is_missing(source: LocalStorage, tmp_path: Path) -> None:
    shard = written(source, tmp_path / "out", chosen(source))
    manifest = Manifest(plan=plan(), shards=(shard,))
    text = card(manifest)
    head = yaml.safe_load(text.split("---\n")[1])
    size = sum(map(len, TEXTS))
    assert head["dataset_info"]["splits"] == [{"name": "train", "num_bytes": size, "num_examples": 31}]
    assert head["dataset_info"]["dataset_size"] == size
    assert head["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    assert [feature["name"] for feature in head["dataset_info"]["features"]] == ROWS.names == list(MEANING)
    for part in ("`file:///archive`", "| snapshot of `contents` | 7 |", "| Python | 31 |", "1 files", *MISSING):
        assert part in text


def test_the_card_says_what_became_of_generated_files_and_near_duplicates() -> None:
    assert "Linguist: left out, as far as `head_blobs.is_generated`" in card(Manifest(plan=plan(), shards=()))
    assert "- Generated files, by the rules of GitHub Linguist: included." in card(
        Manifest(plan=plan(generated=True), shards=())
    )
    assert "- Near-duplicates: included." in card(Manifest(plan=plan(), shards=()))
    without = plan(near_dedup=True).model_copy(update={"near_duplicates": 1234})
    assert "- Near-duplicates: 1,234 left out, whose Jaccard" in card(Manifest(plan=without, shards=()))


def test_texts_of_a_task_are_signed_where_they_lie(source: LocalStorage) -> None:
    rows = chosen(source)
    keys = pa.array([b"%d" % at for at in range(len(rows))], pa.binary())
    batches = Signer(source)(
        [rows.append_column(PREFERENCE, keys), rows.slice(0, 0).append_column(PREFERENCE, keys[:0])]
    )
    signed = [row for batch in batches for row in batch.to_pylist()]
    everything = [text for texts in CONTENTS_OF.values() for text in texts]
    assert [everything[int(row[PREFERENCE])] for row in signed] == [LONG]


def test_contents_are_signed_by_a_bounded_number_of_tasks() -> None:
    assert [task_count(size) for size in (0, TASK_BYTES - 1, TASK_BYTES, 50 << 40)] == [1, 1, 2, MOST_TASKS]


def test_selections_that_cannot_be() -> None:
    assert Selection.model_validate({"max_bytes": "1MiB"}).max_bytes == 1 << 20
    for options in ({"min_bytes": 9, "max_bytes": 8}, {"shard_bytes": "1MB"}, {"format": "csv"}):
        with pytest.raises(ValueError, match="validation error"):
            Selection.model_validate(options)


def test_what_is_in_the_folder_is_looked_at_before_files_are_chosen(tmp_path: Path) -> None:
    to = LocalStorage(tmp_path / "out")
    run_export.check_destination(to, recipe(), replace=False)
    to.create(PLAN, plan().model_dump_json().encode())
    run_export.check_destination(to, recipe(), replace=False)
    run_export.check_destination(to, recipe(languages=("c",)), replace=True)
    for other in (recipe(languages=("c",)), recipe().model_copy(update={"snapshots": {"contents": 8}})):
        with pytest.raises(OtherExport, match="other options"):
            run_export.check_destination(to, other, replace=False)
    with pytest.raises(OtherExport, match="takedowns"):
        run_export._begin(to, plan().model_copy(update={"checksum": "2"}), replace=False)
    assert run_export._begin(to, plan(), replace=False) is None
    manifest = run_export._finish(to, plan(), [])
    assert run_export._begin(to, plan(), replace=False) == manifest
    to.delete(PLAN)
    to.delete(MANIFEST)
    with pytest.raises(OtherExport, match="no export"):
        run_export.check_destination(to, recipe(), replace=True)


def test_an_export_that_is_killed_while_it_replaces_another_is_one_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to, mine, other = LocalStorage(tmp_path / "out"), plan(), plan(languages=("c",))
    to.create(PLAN, mine.model_dump_json().encode())
    run_export._finish(to, mine, [])
    to.delete(WORK, recursive=True)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete", killed_after(1, LocalStorage.delete))
        with pytest.raises(KeyboardInterrupt):
            run_export._begin(to, other, replace=True)
    assert to.stat(MANIFEST) is None
    with pytest.raises(OtherExport, match="other options"):
        run_export._begin(to, other, replace=False)
    with pytest.raises(OtherExport, match="other options"):
        run_export.check_destination(to, recipe(languages=("c",)), replace=False)
    assert run_export._begin(to, other, replace=True) is None
    assert to.stat(PLAN) is not None


@pytest.fixture
def to(tmp_path: Path) -> LocalStorage:
    """A folder with an unfinished export by ``plan()``."""
    return begun(LocalStorage(tmp_path / "out"), plan())


def begun(to: LocalStorage, by: Plan) -> LocalStorage:
    to.replace(PLAN, by.model_dump_json().encode())
    return to


OTHER = plan(languages=("c",))


def test_a_shard_is_not_written_into_another_export(source: LocalStorage, to: LocalStorage) -> None:
    mine = written(source, Path(to.uri("").removeprefix("file://")), chosen(source))
    begun(to, OTHER)
    to.delete(mine.record)
    for there in (None, b"theirs"):
        to.delete(mine.path)
        if there is not None:
            to.create(mine.path, there)
        with pytest.raises(Replaced, match="another export has taken"):
            list(ShardWriter(source, to, plan())([chosen(source)]))
        assert to.stat(mine.record) is None
        assert (None if to.stat(mine.path) is None else to.read(mine.path)) == there


@pytest.mark.parametrize("theirs", [None, b"theirs"])
def test_a_shard_has_no_record_in_an_export_that_began_meanwhile(
    source: LocalStorage, to: LocalStorage, monkeypatch: pytest.MonkeyPatch, theirs: bytes | None
) -> None:
    upload = LocalStorage.upload

    def meanwhile(self: LocalStorage, local: Path, path: str) -> Uploaded:
        begun(self, OTHER)
        if theirs is not None:
            self.replace(path, theirs)
        return upload(self, local, path)

    monkeypatch.setattr(LocalStorage, "upload", meanwhile)
    with pytest.raises(Replaced):
        list(ShardWriter(source, to, plan())([chosen(source)]))
    assert [entry.path for entry in to.list(WORK)] == [PLAN]
    assert theirs is None or to.read(plan().path(1)) == theirs


def test_of_two_exports_at_once_the_loser_changes_nothing(to: LocalStorage) -> None:
    begun(to, OTHER).create(CARD, b"theirs")
    for ends in (lambda: run_export._finish(to, plan(), []), lambda: run_export._begin(to, plan(), replace=False)):
        with pytest.raises((Replaced, OtherExport)):
            ends()
    to.delete(WORK, recursive=True)
    with pytest.raises(Replaced):
        run_export._finish(to, plan(), [])
    assert (to.read(CARD), to.stat(MANIFEST)) == (b"theirs", None)


def test_a_manifest_is_not_left_in_an_export_that_began_meanwhile(
    to: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = LocalStorage.create
    monkeypatch.setattr(LocalStorage, "create", lambda self, *what: create(begun(self, OTHER), *what))
    with pytest.raises(Replaced):
        run_export._finish(to, plan(), [])
    assert to.stat(MANIFEST) is None


def test_two_equal_exports_at_once_both_end_well(
    source: LocalStorage, to: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    (batch,) = ShardWriter(source, to, plan())([chosen(source)])
    shards = [Shard.model_validate_json(batch["record"][0].as_py())]
    with monkeypatch.context() as patch:
        patch.setattr(run_export, "export_in", lambda _: None)  # as they both look before either begins
        assert run_export._begin(to, plan(), replace=False) is None
    stray = f"{DATA}/train-00000-of-00009.parquet"
    to.create(stray, b"of a replaced export")
    with monkeypatch.context() as patch:
        patch.setattr(run_export, "still_ours", lambda *_: None)  # as they both look before either ends
        first, second = (run_export._finish(to, plan(), shards) for _ in range(2))
    assert first == second
    assert [entry.path for entry in to.list(DATA)] == [shards[0].path]
    to.delete(WORK, recursive=True)
    assert run_export._finish(to, plan(), []) == first
    assert list(ShardWriter(source, to, plan())([chosen(source)])) == [batch]


def test_what_stops_an_export_is_said_unless_it_is_another_one(to: LocalStorage) -> None:
    def fail() -> list[Shard]:
        raise RuntimeError("lost an executor")

    with pytest.raises(RuntimeError, match="lost an executor"):
        run_export._ended(fail, to, plan())
    begun(to, OTHER)
    with pytest.raises(Replaced):
        run_export._ended(fail, to, plan())
    manifest = run_export._finish(begun(to, plan()), plan(), [])
    assert run_export._ended(fail, to, plan()) == manifest


def killed_after(times: int, delete: Callable[..., bool]) -> Callable[..., bool]:
    left = [times]

    def once(*arguments: object, **options: object) -> bool:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return delete(*arguments, **options)

    return once
