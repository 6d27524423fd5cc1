"""A small archive of files as Iceberg and a night leave them, without Spark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from pipeline.context.archive import ArchiveInfo
from pipeline.context.config import Config
from pipeline.context.workplace import Workplace
from pipeline.model.layout import ARCHIVE, Load, tag_of
from pipeline.read.inventory.record import record_changes
from pipeline.storage.interface import Storage
from pipeline.tables.snapshot.avro import MAGIC

Row = dict[str, Any]

LIST = {
    "type": "record",
    "name": "manifest_file",
    "fields": [
        {"name": "manifest_path", "type": "string"},
        {"name": "manifest_length", "type": "long"},
        {"name": "sequence_number", "type": "long"},
    ],
}
MANIFEST = {
    "type": "record",
    "name": "entry",
    "fields": [
        {"name": "status", "type": "int"},
        {"name": "file_sequence_number", "type": ["null", "long"]},
        {
            "name": "data_file",
            "type": {
                "type": "record",
                "name": "r2",
                "fields": [
                    {"name": "content", "type": "int"},
                    {"name": "file_path", "type": "string"},
                    {"name": "partition", "type": {"type": "record", "name": "r102", "fields": []}},
                    {"name": "file_size_in_bytes", "type": "long"},
                    {"name": "split_offsets", "type": {"type": "array", "items": "long"}},
                    {"name": "referenced_data_file", "type": ["null", "string"]},
                ],
            },
        },
    ],
}


def number(value: int) -> bytes:
    value, out = value << 1, bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def text(value: bytes) -> bytes:
    return number(len(value)) + value


def avro(schema: Row, records: Sequence[bytes]) -> bytes:
    """An uncompressed file of encoded records."""
    sync = b"0123456789abcdef"
    header = number(1) + text(b"avro.schema") + text(json.dumps(schema).encode()) + number(0)
    return MAGIC + header + sync + number(len(records)) + text(b"".join(records)) + sync


@dataclass
class FakeArchive:
    """Tables ``origins`` and ``refs``. Every commit adds one data file to each."""

    storage: Storage
    scratch: Path
    commits: int = 0
    uuid: str = "the-id"
    snapshots: list[Row] = field(default_factory=list)
    tags: dict[str, int] = field(default_factory=dict)

    TABLES = ("origins", "refs")

    def __post_init__(self) -> None:
        self.storage.create(ARCHIVE, ArchiveInfo.new(4).model_dump_json().encode())

    @property
    def place(self) -> Workplace:
        return Workplace(Config.model_validate({"fetch": {"scratch": str(self.scratch)}}), self.storage)

    def night(self, day: int) -> None:
        """A complete night: its files, commits, tags, marker and record."""
        load = Load.of_night(date(2026, 11, day))
        self.begin(day)
        self.storage.create(load.publishing, b"{}")
        self.commit()
        self.tags[tag_of(load.night)] = self.commits
        self.write_metadata()
        self.storage.create(load.night_summary, b"{}")
        record_changes(self.storage)

    def begin(self, day: int) -> Load:
        load = Load.of_night(date(2026, 11, day))
        self.storage.create(load.plan, json.dumps({"load": load.name, "buckets": []}).encode())
        self.storage.create(f"{load.landings}/bucket=1/a/refs.parquet", b"landed")
        return load

    def commit(self) -> None:
        """A snapshot with the data of all commits."""
        self.commits += 1
        self.snapshots.append({"snapshot-id": self.commits, "sequence-number": self.commits})
        for table in self.TABLES:
            folder = f"tables/code/{table}"
            data = f"{table} {self.commits}".encode()
            self.storage.create(f"{folder}/data/{self.commits}.parquet", data)
            vector = text(self.uri(f"{folder}/data/{self.commits}.parquet"))
            entry = number(1) + number(1) + number(self.commits) + number(0) + vector + number(len(data)) + number(0)
            manifest = avro(MANIFEST, [entry + number(1) + vector])
            self.storage.create(f"{folder}/metadata/{self.commits}-m0.avro", manifest)
            listed = [
                text(self.uri(f"{folder}/metadata/{at}-m0.avro"))
                + number(len(self.storage.read(f"{folder}/metadata/{at}-m0.avro")))
                + number(at)
                for at in range(1, self.commits + 1)
            ]
            self.storage.create(f"{folder}/metadata/snap-{self.commits}.avro", avro(LIST, listed))

    def write_metadata(self) -> None:
        for table in self.TABLES:
            folder = f"tables/code/{table}"
            versions = [entry.path for entry in self.storage.list(f"{folder}/metadata") if ".json" in entry.path]
            document = {
                "table-uuid": f"{self.uuid}-{table}",
                "location": self.storage.uri(folder),
                "last-sequence-number": self.commits,
                "current-snapshot-id": self.commits,
                "snapshots": [
                    {**made, "manifest-list": self.storage.uri(f"{folder}/metadata/snap-{made['snapshot-id']}.avro")}
                    for made in self.snapshots
                ],
                "refs": {tag: {"snapshot-id": at, "type": "tag"} for tag, at in self.tags.items()},
                "metadata-log": [{"metadata-file": self.storage.uri(path)} for path in versions],
            }
            version = len(versions) + 1
            self.storage.create(f"{folder}/metadata/v{version}.metadata.json", json.dumps(document).encode())
            self.storage.replace(f"{folder}/metadata/version-hint.text", b"%d" % version)

    def uri(self, path: str) -> bytes:
        return self.storage.uri(path).encode()


def files(storage: Storage) -> dict[str, bytes]:
    """All files of an archive or a copy but leases, and what says that it is a copy."""
    return {
        entry.path: storage.read(entry.path)
        for entry in storage.walk()
        if not entry.path.startswith(("lease.", "copy.json"))
    }
