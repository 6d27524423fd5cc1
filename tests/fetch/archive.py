"""An archive of one bucket as fetch tasks see it: plans as Spark writes them, and landed files as if published."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.fetch.archived import ArchivedIds
from pipeline.fetch.bucket import fetch_bucket
from pipeline.fetch.landing import RUN_BYTES
from pipeline.fetch.planned_files import DataFile
from pipeline.git.conditions import Conditions
from pipeline.git.limits import Limits
from pipeline.git.network import AddressPolicy
from pipeline.model.layout import Load
from pipeline.model.manifest import Manifest
from pipeline.model.objects import ObjectType
from pipeline.model.origin import Origin
from pipeline.model.rows import CODECS
from pipeline.model.tables import BY_NAME, OBJECT_TABLES
from pipeline.model.visit import Visit
from pipeline.rules.negotiation import Ref
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage
from pipeline.storage.uris import path_below_root
from tests.support.git import git, run_git
from tests.support.prefixes import PREFIXES
from tests.support.servers import Peer

FIRST_NIGHT = date(2026, 11, 1)
LIMITS = Limits(connect_s=30, silence_s=20, total_s=60)
BUCKET = 0
NOBODY = 1
"""A network to which no row belongs."""

ORIGIN_COLUMNS = pa.schema(
    [
        ("url", pa.string()),
        ("fork_of", pa.string()),
        ("network", pa.int64()),
        ("due", pa.bool_()),
        ("first_visit", pa.bool_()),
    ]
)
REF_COLUMNS = pa.schema(
    [
        ("network", pa.int64()),
        ("url", pa.string()),
        ("name", pa.binary()),
        ("target", pa.binary()),
        ("peeled", pa.binary()),
        ("symref", pa.binary()),
    ]
)
FILE_COLUMNS = pa.schema(
    [
        ("table", pa.string()),
        ("uri", pa.string()),
        ("rows", pa.int64()),
        ("network_min", pa.int64()),
        ("network_max", pa.int64()),
    ]
)

Row = dict[str, Any]
Serve = Any  # a function that takes a folder of repositories and returns a server


def serve(server: Serve, root: Path) -> AbstractContextManager[Peer]:
    found: AbstractContextManager[Peer] = server(root)
    return found


def conditions(limits: Limits = LIMITS, *, allowed: Sequence[str] = ("127.0.0.0/8",)) -> Conditions:
    policy = AddressPolicy(tuple(ip_network(network) for network in allowed))
    return Conditions(policy, limits, PREFIXES, "git/test")


@dataclass
class Night:
    """What one fetch task did."""

    storage: Storage
    manifest: Manifest

    def rows(self, table: str) -> list[Row]:
        return [row for f in self.manifest.files if f.table == table for row in self.file(f.path).read().to_pylist()]

    def file(self, path: str) -> pq.ParquetFile:
        return pq.ParquetFile(pa.BufferReader(self.storage.read(path)))

    @property
    def visits(self) -> list[Visit]:
        """All visits: networks in order, then in the order in which they ended."""
        return list(map(Visit.of_row, self.rows("visits")))

    def line(self, url: str) -> Visit:
        (visit,) = [visit for visit in self.visits if visit.origin == url]
        return visit

    def visit(self, url: str) -> Row:
        (row,) = [row for row in self.rows("visits") if row["origin"] == url]
        return row

    def refs(self, url: str) -> dict[bytes, Row]:
        return {exact(row, "name"): row for row in self.rows("refs") if row["origin"] == url}

    def ids(self, table: str) -> list[str]:
        return [row["oid"].hex() for row in self.rows(table)]

    def new_ids(self) -> list[str]:
        """Ids of all landed objects, a blob once although it has two rows."""
        return [oid for table in ("commits", "trees", "tags", "blobs") for oid in self.ids(table)]

    def tables(self) -> list[str]:
        return [f.table for f in self.manifest.files]

    def objects(self) -> dict[str, tuple[ObjectType, bytes]]:
        """Type and bytes of all landed objects, rebuilt from the columns as the next night rebuilds delta bases."""
        known, found = known_ids(self.storage, [(f.table, f.path) for f in self.manifest.files]), {}
        for network in {row["network"] for table in CODECS for row in self.rows(table)}:
            ids = [bytes.fromhex(oid) for table in CODECS for oid in self.ids(table)]
            for type_, oid, body in known.load(network, ids, set(ObjectType)):
                assert oid.hex() not in found, "landed twice"
                found[oid.hex()] = type_, body
        return found


def known_ids(storage: Storage, files: Sequence[tuple[str, str]]) -> ArchivedIds:
    """What data files have, given as pairs of table and path."""
    return ArchivedIds(storage, lambda table: [DataFile(path) for name, path in files if name == table])


def exact(row: Row, column: str) -> bytes:
    raw = row[f"{column}_raw"]
    found = row[column].encode() if raw is None else raw
    assert isinstance(found, bytes)
    return found


@dataclass
class Archive:
    """Nights one after the other. ``fetch`` gets (URL, fork root) pairs or URLs."""

    root: Path
    limits: Limits = LIMITS
    run_bytes: int = RUN_BYTES
    concurrency: int = 4
    allowed: Sequence[str] = ("127.0.0.0/8",)
    refs: dict[str, dict[bytes, tuple[Ref, bytes | None]]] = field(default_factory=dict)
    files: list[Row] = field(default_factory=list)
    good: set[str] = field(default_factory=set)
    nights: int = 0

    def __post_init__(self) -> None:
        self.storage = LocalStorage(self.root / "archive")
        self.scratch = self.root / "scratch"

    def next_load(self) -> Load:
        return Load.of_night(FIRST_NIGHT + timedelta(days=self.nights))

    def plan(self, *origins: str | tuple[str, str], due: Sequence[str] | None = None) -> Load:
        """Write the plan of the next night."""
        load = self.next_load()
        rows: list[tuple[Any, ...]] = []
        ref_rows: list[tuple[Any, ...]] = []
        for item in origins:
            origin = Origin(item) if isinstance(item, str) else Origin(*item)
            refs: list[tuple[Any, ...]] = [
                (name, ref.target, peeled, ref.symref)
                for name, (ref, peeled) in sorted(self.refs.get(origin.url, {}).items())
            ]
            ref_rows += [(origin.network, origin.url, *ref) for ref in refs or [(None,) * 4]]
            is_due = due is None or origin.url in due
            rows.append((origin.url, origin.fork_of, origin.network, is_due, origin.url not in self.good))
        self._write(f"{load.plan_origins}/bucket={BUCKET}", ORIGIN_COLUMNS, rows)
        ref_rows.sort(key=lambda row: (row[0], row[1]))
        self._write(f"{load.plan_refs}/bucket={BUCKET}", REF_COLUMNS, ref_rows)
        files = [tuple(row[column] for column in FILE_COLUMNS.names) for row in self.files]
        self._write(f"{load.plan_files}/bucket={BUCKET}", FILE_COLUMNS, files)
        return load

    def _write(self, folder: str, schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema), sink)
        self.storage.replace(f"{folder}/part-0.parquet", sink.getvalue().to_pybytes())

    def fetch(self, *origins: str | tuple[str, str], due: Sequence[str] | None = None) -> Night:
        """Plan a night, fetch it, and treat the landed files as published."""
        night = self.fetch_only(self.plan(*origins, due=due))
        self.publish(night)
        return night

    def fetch_only(self, load: Load, **options: Any) -> Night:
        defaults: dict[str, Any] = {
            "run_id": "run",
            "conditions": conditions(self.limits, allowed=self.allowed),
            "concurrency": self.concurrency,
            "scratch": self.scratch,
            "run_bytes": self.run_bytes,
        }
        return Night(self.storage, fetch_bucket(self.storage, load, BUCKET, **(defaults | options)))

    def publish(self, night: Night) -> None:
        for row in night.rows("refs"):
            refs = self.refs.setdefault(row["origin"], {})
            symref = None if row["symref"] is None else exact(row, "symref")
            if row["target"] is None and symref is None:
                del refs[exact(row, "name")]
            else:
                refs[exact(row, "name")] = Ref(row["target"], symref), row["peeled"]
        self.good.update(visit.origin for visit in night.visits if visit.status.ok)
        for f in night.manifest.files:
            if BY_NAME[f.table] in OBJECT_TABLES:
                networks = night.file(f.path).read(["network"])["network"].to_pylist()
                bounds = {"network_min": min(networks), "network_max": max(networks)}
                self.files.append({"table": f.table, "uri": self.storage.uri(f.path), "rows": f.rows, **bounds})
        self.nights += 1

    def known(self) -> ArchivedIds:
        return known_ids(self.storage, [(r["table"], path_below_root(self.storage, r["uri"])) for r in self.files])

    def left_in_scratch(self) -> list[Path]:
        return sorted(self.scratch.rglob("*")) if self.scratch.exists() else []


def reachable(repo: Path, *revisions: str) -> set[str]:
    """Ids of everything reachable from the revisions, by default refs below heads and tags, and HEAD if it exists."""
    head = ["HEAD"] if run_git("-C", repo, "rev-parse", "-q", "--verify", "HEAD").returncode == 0 else []
    wanted = revisions or ("--branches", "--tags", *head)
    return set(git(repo, "rev-list", "--objects", "--no-object-names", *wanted).decode().split())
