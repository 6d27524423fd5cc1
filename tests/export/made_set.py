"""A complete export that no Spark has made."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa

from pipeline.read.export.columns import ROWS
from pipeline.read.export.manifest import MANIFEST, Manifest, Plan, Shard
from pipeline.read.export.selection import Selection
from pipeline.read.export.shard_file import writing_programs
from pipeline.storage.parquet import SealedWriter

WHEN = datetime(2026, 11, 2, tzinfo=UTC)


def made_set(folder: Path, *, shards: int, groups: int, rows: int) -> Path:
    """A folder with an export of so many shards, each of so many row groups, each of so many rows, which are numbered
    by their paths.
    """
    plan = Plan(
        archive="file:///archive",
        night=date(2026, 11, 2),
        snapshots={},
        selection=Selection(),
        program=writing_programs(),
        rows=shards * groups * rows,
        shards=shards,
        checksum="1",
    )
    made, at = [], 0
    for number in range(shards):
        path = folder / plan.path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        with SealedWriter(path, ROWS) as writer:
            for _ in range(groups):
                writer.write_table(pa.Table.from_pylist([_row(at + row) for row in range(rows)], ROWS))
                at += rows
        made.append(Shard(number=number, path=plan.path(number), size_bytes=1, sha256="", languages={}, left_out={}))
    (folder / MANIFEST).write_text(Manifest(plan=plan, shards=tuple(made)).model_dump_json(indent=1))
    return folder


def _row(at: int) -> dict[str, object]:
    text = f"{at}\n"
    known = {"path": f"/{at:02}.py", "language": "Python", "content": text, "length_bytes": len(text)}
    times = dict.fromkeys(("visit_date", "revision_date", "committer_date"), WHEN)
    return {"is_vendor": False, **times, **known}
