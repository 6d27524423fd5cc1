"""Builds files as fetch tasks land them, from a short spec: blobs, trees, commits, refs and visits of one load."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.model.layout import Load
from pipeline.model.manifest import LandedFile, Manifest
from pipeline.model.origin import Origin, bucket_of
from pipeline.model.rows import commit_row, tag_row
from pipeline.model.tables import BY_NAME, LANDED, extension
from pipeline.model.visit import Visit, VisitStatus
from pipeline.model.visit_counts import VisitCounts, count_visits
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import SealedWriter
from tests.fetch.archive import ORIGIN_COLUMNS

BUCKETS = 4
Tree = Mapping[bytes, "bytes | Tree"]
"""Names to file contents or subtrees."""


def oid_of(kind: bytes, body: bytes) -> bytes:
    return hashlib.sha1(kind + b" %d\0" % len(body) + body).digest()


class MadeLoad:
    """One load in the making; nothing is on disk before ``write``."""

    def __init__(self, storage: Storage, night: date, run_id: str = "run1") -> None:
        self.storage, self.load, self.run_id = storage, Load.of_night(night), run_id
        self.rows: dict[str, list[dict[str, Any]]] = {table.name: [] for table in LANDED}
        self.seen: set[tuple[int, bytes]] = set()
        self.clock = datetime(night.year, night.month, night.day, 1, tzinfo=UTC)

    def row(self, table: str, network: int, **values: Any) -> dict[str, Any]:
        row = {"bucket": bucket_of(network, BUCKETS), "network": network, **values}
        self.rows[table].append(row)
        return row

    def _new(self, network: int, oid: bytes) -> bool:
        if (network, oid) in self.seen:
            return False
        self.seen.add((network, oid))
        return True

    def blob(self, network: int, data: bytes, name: bytes = b"", *, at_head: bool = True) -> bytes:
        oid = oid_of(b"blob", data)
        if self._new(network, oid):
            text = name.decode(errors="replace")
            names = {"name": text, "ext": extension(text), "size": len(data)}
            sha256 = hashlib.sha256(data).digest()
            self.row("blobs", network, oid=oid, sha256=sha256, is_binary=b"\0" in data, stored="yes", **names)
            self.row("contents", network, oid=oid, at_head=at_head, content=data, **names)
        return oid

    def tree(self, network: int, tree: Tree, *, at_head: bool = True) -> bytes:
        body = b""
        for name, value in sorted(tree.items()):
            if isinstance(value, bytes):
                oid, mode = self.blob(network, value, name, at_head=at_head), b"100644"
            else:
                oid, mode = self.tree(network, value, at_head=at_head), b"40000"
            body += mode + b" " + name + b"\0" + oid
        return self.raw_tree(network, body, at_head=at_head)

    def raw_tree(self, network: int, body: bytes, *, at_head: bool = True) -> bytes:
        oid = oid_of(b"tree", body)
        if self._new(network, oid):
            self.row("trees", network, oid=oid, at_head=at_head, content=body)
        return oid

    def commit(
        self, network: int, tree: bytes | None, *parents: bytes, message: str = "m", at: int = 1_700_000_000
    ) -> bytes:
        lines = [*(f"tree {oid.hex()}" for oid in (tree,) if oid), *(f"parent {parent.hex()}" for parent in parents)]
        lines += [f"author A <a@b> {at} +0200", f"committer C <c@d> {at + 60} -0130", "", message]
        body = "\n".join(lines).encode()
        oid = oid_of(b"commit", body)
        if self._new(network, oid):
            self._codec_row("commits", commit_row(bucket_of(network, BUCKETS), network, oid, body))
        return oid

    def tag(self, network: int, target: bytes, kind: str = "commit", name: str = "v1") -> bytes:
        body = f"object {target.hex()}\ntype {kind}\ntag {name}\ntagger T <t@t> 1700000000 +0000\n\nrelease\n".encode()
        oid = oid_of(b"tag", body)
        if self._new(network, oid):
            self._codec_row("tags", tag_row(bucket_of(network, BUCKETS), network, oid, body))
        return oid

    def _codec_row(self, table: str, row: tuple[object, ...]) -> None:
        self.rows[table].append(dict(zip(BY_NAME[table].column_names, row, strict=True)))

    def ref(
        self, origin: Origin, name: str, target: bytes | None, symref: str | None = None, peeled: bytes | None = None
    ) -> None:
        self.row(
            "refs",
            origin.network,
            origin=origin.url,
            night=self.load.night,
            name=name,
            target=target,
            symref=symref,
            peeled=peeled,
        )

    def visit(
        self,
        origin: Origin,
        status: VisitStatus = VisitStatus.FULL,
        error: str | None = None,
        dates: tuple[datetime | None, int] = (None, 0),
    ) -> None:
        self.clock += timedelta(seconds=1)
        numbers: dict[str, Any] = {"duration_s": 0.5, "pack_bytes": 100, "objects": 3}
        self.row(
            "visits",
            origin.network,
            origin=origin.url,
            night=self.load.night,
            run_id=self.run_id,
            status=str(status),
            error=error,
            started_at=self.clock,
            newest_commit=dates[0],
            commit_days=dates[1],
            **numbers,
        )

    def push(self, origin: Origin, commit: bytes, branch: str = "main") -> None:
        """Add a full visit that found HEAD at a branch, and the branch at a commit."""
        self.ref(origin, f"refs/heads/{branch}", commit)
        self.ref(origin, "HEAD", commit, symref=f"refs/heads/{branch}")
        self.visit(origin)

    def write(self) -> list[Manifest]:
        buckets = sorted({row["bucket"] for rows in self.rows.values() for row in rows})
        return [self._write_bucket(bucket) for bucket in buckets]

    def plan(self) -> None:
        """Write the origins of a plan in which all visited ones are due."""
        for bucket in {row["bucket"] for row in self.rows["visits"]}:
            mine = [row for row in self.rows["visits"] if row["bucket"] == bucket]
            due = [{"url": v["origin"], "network": v["network"], "due": True, "first_visit": True} for v in mine]
            sink = pa.BufferOutputStream()
            pq.write_table(pa.Table.from_pylist(due, ORIGIN_COLUMNS), sink)
            path = f"{self.load.plan_origins}/bucket={bucket}/origins.parquet"
            self.storage.replace(path, sink.getvalue().to_pybytes())

    def _write_bucket(self, bucket: int) -> Manifest:
        files = []
        for table, rows in self.rows.items():
            mine = [row for row in rows if row["bucket"] == bucket]
            if mine:
                files.append(self._write_file(bucket, table, mine))
        return Manifest(
            load=self.load.name,
            night=self.load.night,
            attempt=self.run_id,
            bucket=bucket,
            host="test",
            written_at=self.clock,
            fetch_s=1.0,
            files=tuple(files),
            visits=self._counts(bucket),
        )

    def _counts(self, bucket: int) -> VisitCounts:
        visits = ({"detail": None, **row} for row in self.rows["visits"] if row["bucket"] == bucket)
        return count_visits(map(Visit.of_row, visits))

    def _write_file(self, bucket: int, table: str, rows: list[dict[str, Any]]) -> LandedFile:
        columns = BY_NAME[table].column_names
        data = pa.Table.from_pylist(
            [{name: row.get(name) for name in columns} for row in rows], BY_NAME[table].arrow_schema
        )
        with TemporaryDirectory() as folder:
            local = Path(folder) / "rows.parquet"
            with SealedWriter(local, data.schema, compression="zstd") as writer:
                writer.write_table(data)
            written = local.read_bytes()
        path = f"{self.load.landing(bucket, self.run_id)}/{table}-0.parquet"
        self.storage.replace(path, written)
        raw = sum(len(row.get("content") or b"") for row in rows)
        sha256 = hashlib.sha256(written).hexdigest()
        return LandedFile(table=table, path=path, rows=len(rows), size_bytes=len(written), raw_bytes=raw, sha256=sha256)
