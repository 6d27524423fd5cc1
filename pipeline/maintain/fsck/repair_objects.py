"""Repairs objects of one bucket: replaces files at fault, in the current state and in past nights."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.context.run import Run
from pipeline.maintain.fsck.branches import BRANCH, BranchedTable
from pipeline.maintain.fsck.deep import examine_states
from pipeline.maintain.fsck.fetch_again import fetch_again, repair_load, visits_in
from pipeline.maintain.fsck.salvage import Ids, Key, RowFile, only_new, salvage
from pipeline.model.layout import WAREHOUSE
from pipeline.model.manifest import Manifest
from pipeline.model.tables import BY_NAME, NAMESPACE, OBJECT_TABLES
from pipeline.read.inventory.finding import Finding, Kind
from pipeline.read.inventory.named import Role, TableFiles, read_table
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import NewFile, full_name
from pipeline.tables.session import split_freely
from pipeline.tables.tombstones import tombstone_ids

logger = logging.getLogger(__name__)

TABLES = tuple(table.name for table in OBJECT_TABLES)
_IDS = pa.schema([("network", pa.int64()), ("oid", pa.binary())])
LACKING = (Kind.OBJECT_MISSING, Kind.OBJECT_DAMAGED, Kind.CONTENT_DISAGREES)
OF_OBJECTS = (*(f"code.{name}" for name in TABLES), "code.refs")
PREFIX = "repaired-"


@dataclass(frozen=True, slots=True)
class Refused:
    """Rows that are not taken over, from some networks or from any."""

    ids: Ids
    anywhere: frozenset[bytes]

    def __contains__(self, key: object) -> bool:
        return key in self.ids or (isinstance(key, tuple) and key[1] in self.anywhere)


@dataclass(slots=True)
class BucketRepair:
    """The repair of one bucket.

    Attributes:
        bad: paths of files at fault, by table.
        refused: blobs whose rows are wrong.
        states: the snapshots of the tables' branches.
        live: ids that each table has in that state.
        new: files that were added, by table.
        added: ids of rows that were fetched again, by table.
        doubled: tables in which files at fault had rows that other files have, too.
        done: what was done, one sentence per repair.
        left: what is still missing after origins were asked.
    """

    run: Run
    bucket: int
    bad: Mapping[str, Collection[str]]
    refused: Ids
    states: dict[str, int] = field(default_factory=dict)
    live: dict[str, Ids] = field(default_factory=dict)
    new: dict[str, list[NewFile]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    doubled: set[str] = field(default_factory=set)
    added: dict[str, Ids] = field(default_factory=dict)
    left: list[Finding] = field(default_factory=list)

    def repair(self) -> None:
        """Repair. Objects that no origin serves now stay missing and are in ``left``.

        Raises:
            FilesChanged: another run has committed since; run it again.
            LeaseLost: likewise.
        """
        before = self._tables()
        current = {name: table.current for name, table in before.items()}
        for name in TABLES:
            at = current[f"code.{name}"]
            if at is not None:
                self.states[name] = self._table(name).begin(self.run.storage, at, self.bucket, self.bad.get(name, ()))
                self.live[name] = self._ids(name)
        for name in TABLES:
            self._salvage(name, before[f"code.{name}"])
        self.left = self._lacking()
        if self.left:
            self._fetch({finding.network for finding in self.left if finding.network is not None})
            self.left = self._lacking()
        for name in TABLES:
            if name in self.states:
                if self.bad.get(name) or self.new.get(name):
                    self._table(name).become_current()
                else:
                    self._table(name).drop_branch()
        for name in TABLES:
            if self.bad.get(name):
                self._heal_nights(name, before[f"code.{name}"])
            elif self.new.get(name):
                self._complete_nights(name, before[f"code.{name}"])

    @property
    def spark(self) -> SparkSession:
        """The session that reads the tables."""
        return self.run.spark()

    def _table(self, name: str) -> BranchedTable:
        return self.run.writer().open(BranchedTable, name)

    def _tables(self) -> dict[str, TableFiles]:
        names = [f"code.{table}" for table in BY_NAME]
        return {
            name: read_table(self.run.storage, name, f"{WAREHOUSE}/{NAMESPACE}/{name.removeprefix('code.')}")
            for name in names
        }

    def _ids(self, name: str) -> Ids:
        return self._ids_of(self.spark.read.option("branch", BRANCH).table(full_name(name)))

    def _ids_of(self, rows: DataFrame) -> Ids:
        with split_freely(self.spark):
            found = rows.where(F.col("bucket") == self.bucket).select("network", "oid").toArrow()
        return set(zip(found["network"].to_pylist(), found["oid"].to_pylist(), strict=True))

    def _salvage(self, name: str, table: TableFiles) -> None:
        """Take rows from the files at fault, and from files that only past states have."""
        bad = set(self.bad.get(name, ()))
        if not bad or name not in self.states or table.current is None:
            return
        current = {file.path for file in table.live(table.current)}
        past = {
            file.path
            for snapshot in table.snapshots
            for file in table.live(snapshot)
            if file.bucket == self.bucket and file.role is Role.DATA and file.path not in current
        }
        with self._row_file(name) as rows:
            if salvage(self.run.storage, name, sorted(bad), self.live[name], rows, self._refused(name)):
                self.doubled.add(name)
            salvage(self.run.storage, name, sorted(past - bad), self.live[name], rows, self._refused(name))
        if rows.rows:
            self.done.append(f"bucket {self.bucket}: {rows.rows} rows of {name} were still readable")

    def _refused(self, name: str) -> Container[Key]:
        """A blob's row cannot be checked against its id, so rows that ``contents`` contradict are not taken over.

        Nor are rows of taken-down objects. If a blob was taken down in every network, its row in ``blobs`` stays.
        """
        stones = tombstone_ids(self.spark)
        ids = set() if stones is None else {(r["network"], bytes(r["oid"])) for r in stones.collect()}
        anywhere = frozenset(oid for network, oid in ids if network is None)
        if name == "blobs":
            return Refused(ids | self.refused, frozenset())
        return Refused(ids, anywhere)

    def _lacking(self) -> list[Finding]:
        """The missing objects of each network."""
        tables = self._tables()
        findings = examine_states(self.spark, self.run.storage, tables, self.bucket, self.states)
        return [
            finding
            for finding in findings
            if finding.network is not None and finding.kind in LACKING and finding.table in OF_OBJECTS
        ]

    def _fetch(self, networks: set[int]) -> None:
        load = repair_load()
        try:
            known = {**self.live, "blobs": self._whole_blobs()}
            del known["contents"]
            landed = fetch_again(
                self.spark, self.run.storage, self.run.config, load, self.bucket, networks, known, self.run.scratch
            )
            if landed is None:
                self.done.append(
                    f"bucket {self.bucket}: {len(networks)} networks lack objects and have no origin to ask"
                )
                return
            for visit in visits_in(self.run.storage, landed):
                why = f" ({visit.error}: {visit.detail})" if visit.error else ""
                how = f"{visit.status}, {visit.objects} objects{why}"
                self.done.append(f"bucket {self.bucket}: asked {visit.origin} again: {how}")
            self._take(landed)
        finally:
            self.run.storage.delete(load.root, recursive=True)

    def _take(self, landed: Manifest) -> None:
        for name in self.states:
            paths = [file.path for file in landed.files if file.table == name and file.rows]
            had = set(self.live[name])
            with self._row_file(name) as rows:
                only_new(self.run.storage, name, paths, self.live[name], rows)
            self.added[name] = self.live[name] - had
            if rows.rows:
                self.done.append(f"bucket {self.bucket}: {rows.rows} rows of {name} fetched again")

    def _whole_blobs(self) -> Ids:
        """Blobs whose row and bytes both exist, or whose bytes need not."""
        stored = F.col("stored") != "yes"
        rows = self.spark.read.option("branch", BRANCH).table(full_name("blobs"))
        found = rows.where((F.col("bucket") == self.bucket) & stored).select("network", "oid").toArrow()
        never = set(zip(found["network"].to_pylist(), found["oid"].to_pylist(), strict=True))
        return (self.live["blobs"] & self.live["contents"]) | never

    @contextmanager
    def _row_file(self, name: str) -> Iterator[RowFile]:
        """A file that is added to the branch of a table when the block ends, if it has any row."""
        self.run.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="repair-", dir=self.run.scratch) as folder:
            rows = RowFile(BY_NAME[name], Path(folder) / "rows.parquet")
            yield rows
            made = rows.finish()
            if made is None:
                return
            place = f"{WAREHOUSE}/{NAMESPACE}/{name}/data/bucket={self.bucket}/{PREFIX}{uuid4().hex}.parquet"
            sent = self.run.storage.upload(made, place)
        new = [NewFile(self.run.storage.uri(sent.path), self.bucket)]
        self._table(name).add(new)
        self.states[name] = self._table(name).head()
        self.new.setdefault(name, []).extend(new)

    def _heal_nights(self, name: str, before: TableFiles) -> None:
        """Give past nights the rows of the files at fault, from the files that have them now.

        The new files have exactly those rows if the current state had all rows of the files at fault and no other file
        has one of them. Otherwise a night gets whatever it lacks of the current state.
        """
        bad = set(self.bad[name])
        current = () if before.current is None else tuple(before.live(before.current))
        in_current = (
            bad <= {file.path for file in current}
            and all(file.role is Role.DATA for file in current if file.bucket == self.bucket)
            and name not in self.doubled
        )
        for snapshot, tags in before.tags_at().items():
            mine = {file.path: file for file in before.live(snapshot) if file.bucket == self.bucket}
            if bad.isdisjoint(mine):
                continue
            table = self._table(name)
            table.begin(self.run.storage, snapshot, self.bucket, bad)
            if in_current and all(file.role is Role.DATA for file in mine.values()) and bad <= mine.keys():
                table.add(self.new.get(name, []))
            else:
                self._insert_missing(name)
            table.become_tags(tags)
            self.done.append(f"bucket {self.bucket}: {name} of {', '.join(sorted(tags))} has its rows again")

    def _complete_nights(self, name: str, before: TableFiles) -> None:
        """Add rows that existed nowhere to past nights that lack them but have other rows of their network."""
        for snapshot, tags in before.tags_at().items():
            rows = self.spark.read.option("versionAsOf", snapshot).table(full_name(name))
            have = self._ids_of(rows)
            networks = {network for network, _ in have}
            lacking = {key for key in self.added[name] if key not in have and key[0] in networks}
            if not lacking:
                continue
            table = self._table(name)
            table.begin(self.run.storage, snapshot, self.bucket, ())
            if lacking == self.added[name]:
                table.add(self.new[name])
            else:
                view = f"lacking_{name}"
                F.broadcast(local_frame(self.spark, sorted(lacking), _IDS)).createOrReplaceTempView(view)
                wanted = f"(network, oid) IN (SELECT network, oid FROM {view})"  # noqa: S608 - names of ours
                self._insert_missing(name, wanted)
            table.become_tags(tags)
            self.done.append(f"bucket {self.bucket}: {len(lacking)} rows of {name} added to {', '.join(sorted(tags))}")

    def _insert_missing(self, name: str, wanted: str = "true") -> None:
        """Insert rows that the current state has and the branch lacks: all rows of the files, and later ones."""
        columns = ", ".join(BY_NAME[name].column_names)
        full = full_name(name)
        there = f"SELECT network, oid FROM {full}.branch_{BRANCH} WHERE bucket = {self.bucket}"  # noqa: S608 - names of ours
        with self.run.writer().table(name).committing():
            self.spark.sql(
                f"INSERT INTO {full}.branch_{BRANCH} SELECT {columns} FROM {full} "  # noqa: S608 - names of ours
                f"WHERE bucket = {self.bucket} AND {wanted} AND (network, oid) NOT IN ({there})"
            )


def forget_states_with(
    table: BranchedTable, files: TableFiles, bad: Collection[str], keep: Callable[[int], bool]
) -> int:
    """Expire snapshots that name files at fault and that no tag or branch names; return their number.

    Args:
        keep: whether a snapshot is still needed for another reason.
    """
    table.drop_branch()
    named = {*table.tags().values(), *table.branches().values()}
    going = [
        id_
        for id_ in files.snapshots
        if id_ not in named and not keep(id_) and any(file.path in bad for file in files.live(id_))
    ]
    if going:
        table.expire(going)
    return len(going)


def at_fault(findings: Collection[Finding]) -> dict[int, dict[str, set[str]]]:
    """Data files to replace, by bucket and table of objects; none for a bucket that only lacks rows."""
    found: dict[int, dict[str, set[str]]] = {}
    for finding in findings:
        if finding.bucket is None or finding.table not in OF_OBJECTS:
            continue
        if finding.kind is Kind.SIDE_CHECKSUM:
            continue
        name = finding.table.removeprefix("code.")
        files = found.setdefault(finding.bucket, {})
        if finding.path and name in TABLES:
            files.setdefault(name, set()).add(finding.path)
    return found
