"""Read the archive: a night's tables as data frames and views, and the objects of a repository."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from types import MappingProxyType

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from pipeline.errors import UsageError
from pipeline.model.layout import tag_of
from pipeline.model.objects import SKELETON, GitObject
from pipeline.model.rows import CODECS, Codec
from pipeline.model.tables import ALL, BY_NAME
from pipeline.night.seal import nights
from pipeline.read.commit_files import commit_files
from pipeline.read.functions import register_functions
from pipeline.read.nights import NotAnArchive, choose_night
from pipeline.rules.cluster import SHUFFLE_PARTITIONS, fitted_partitions
from pipeline.rules.partitioning import TableStats, direct_tasks
from pipeline.storage.interface import Storage
from pipeline.tables.damage import check_footers
from pipeline.tables.iceberg import IcebergTable, full_name, table_exists
from pipeline.tables.map_contents import OnBatches, Reader, row_groups
from pipeline.tables.refs import current_refs
from pipeline.tables.session import split_freely
from pipeline.tables.statistics import has_deleted_rows, table_stats
from pipeline.tables.tombstones import Hidden, hidden_now, visible

MOST_ROWS = ("blobs", "trees")
"""Tables of which one has more rows than any other table that is aggregated by id."""

COMPUTED = MappingProxyType({"commit_files": ("commits", "trees")})
"""What has a name in SQL but is computed whenever it is read, and the tables that it is computed from."""

NAMES = BY_NAME.keys() | COMPUTED.keys()
"""All that can be read by its bare name."""

_SPLIT_BYTES = 2 << 20
"""Compressed bytes per task when objects are streamed: the driver holds the raw bytes of one task."""


class NoSuchTable(UsageError):
    """The archive has no table of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"there is no table {self.name!r}; known tables: {', '.join(sorted(BY_NAME))}"


class Archive:
    """The archive as it was on one night.

    Args:
        spark: a session of ``open_session``.
        night: default for methods called without a night; None means the newest sealed night, or the current state
            of an archive without one. A night after tomorrow, which an earlier version may have sealed, is read only
            by name.
        storage: storage of the data files, for ``map_contents`` and ``check_footers``.

    Raises:
        NightNotFound: on the first read, if the night is not sealed.
    """

    def __init__(self, spark: SparkSession, night: date | None = None, storage: Storage | None = None) -> None:
        self.spark, self._night, self._storage = spark, night, storage

    def nights(self) -> list[date]:
        """The sealed nights, oldest first.

        Raises:
            NotAnArchive: there are no tables.
        """
        if not table_exists(self.spark, "origins"):
            raise NotAnArchive
        return nights(self.spark)

    def night(self, night: date | None = None) -> date | None:
        """The night that a read with this argument uses; None for the current state.

        Raises:
            NightNotFound: it is not sealed.
        """
        return choose_night(night or self._night, self.nights())

    def table(self, name: str, night: date | None = None) -> DataFrame:
        """One table on a night.

        Raises:
            NoSuchTable: its name is not one of ``model.tables``.
            NightNotFound: the night is not sealed.
        """
        if name not in BY_NAME:
            raise NoSuchTable(name)
        return self._at(name, self.night(night))

    def _at(self, name: str, night: date | None, gone: Hidden | None = None) -> DataFrame:
        return visible(self._stored(name, night), name, hidden_now(self.spark) if gone is None else gone)

    def _stored(self, name: str, night: date | None, part: str = "") -> DataFrame:
        reader = self.spark.read
        if night is not None:
            reader = reader.option("versionAsOf", tag_of(night))
        return reader.table(f"{full_name(name)}{part}")

    def map_contents(
        self,
        function: OnBatches,
        schema: str,
        *,
        columns: Sequence[str] = ("content",),
        head_only: bool = False,
        night: date | None = None,
    ) -> DataFrame:
        """Pass contents to a Python function, like ``mapInArrow`` on ``contents``, for less CPU (decision 11).

        Workers open the data files themselves. Spark reads instead without a storage, or if files hold deleted or
        taken-down rows.

        Args:
            function: from an iterator of record batches with ``columns`` to an iterable; called once per task.
            schema: schema of its result, as for ``mapInArrow``.
            columns: columns of ``contents``, in the order that the function gets them.
            head_only: only contents at HEAD of some repository.
        """
        shown = self.night(night)
        snapshot = self._snapshot("contents", shown)
        hides = hidden_now(self.spark).touches("contents")
        if self._storage is None or hides or has_deleted_rows(self.spark, "contents", snapshot):
            table = self._at("contents", shown)
            rows = table.where("at_head") if head_only else table
            return rows.select(*columns).mapInArrow(function, schema)
        stats = table_stats(self.spark, "contents", snapshot)
        tasks = direct_tasks(stats.raw_bytes, self.spark.sparkContext.defaultParallelism)
        places = row_groups(self._stored("contents", shown, part=".files")).repartition(tasks)
        reader = Reader(self._storage, tuple(columns), head_only, function)
        return places.mapInArrow(reader.__call__, schema)

    def commit_files(self, night: date | None = None, networks: Collection[int] | None = None) -> DataFrame:
        """What each commit changed against its first parent, file by file: the columns of ``COMMIT_FILES``.

        It is computed from all commits and trees of the networks whenever it is read, so choose networks, or store it.

        Args:
            networks: ids of networks; None for all.
        """
        shown = self.night(night)
        return self._commit_files(shown, hidden_now(self.spark), networks)

    def _commit_files(self, night: date | None, gone: Hidden, networks: Collection[int] | None = None) -> DataFrame:
        commits, trees = (self._at(name, night, gone) for name in COMPUTED["commit_files"])
        if networks is not None:
            chosen = F.col("network").isin(sorted(networks))
            commits, trees = commits.where(chosen), trees.where(chosen)
        return commit_files(commits, trees)

    def register_views(self, night: date | None = None, read: Collection[str] | None = None) -> date | None:
        """Make bare names refer to that night, in SQL too, and fit shuffles to its size; return the night.

        The names are those of ``NAMES``; and SQL has the functions of ``FUNCTIONS``.

        Args:
            read: names that will be read; None for all.

        Raises:
            StoredFileDamaged: one of their footers is damaged, so rows could be skipped.
        """
        shown = self.night(night)
        wanted = NAMES if read is None else read
        self.check_footers({source for name in wanted for source in COMPUTED.get(name, (name,))}, shown)
        self._fit_shuffles(shown)
        gone = hidden_now(self.spark)
        for table in ALL:
            self._at(table.name, shown, gone).createOrReplaceTempView(table.name)
        if "commit_files" in wanted:
            self._commit_files(shown, gone).createOrReplaceTempView("commit_files")
        register_functions(self.spark)
        return shown

    def _fit_shuffles(self, night: date | None) -> None:
        """Give aggregations of the whole archive as many reduce tasks as its rows need, never fewer than now."""
        rows = max(table.rows for table in self.stats(MOST_ROWS, night))
        partitions = int(self.spark.conf.get(SHUFFLE_PARTITIONS) or 0)
        self.spark.conf.set(SHUFFLE_PARTITIONS, str(fitted_partitions(partitions, rows)))

    def snapshots(self, night: date | None = None) -> dict[str, int]:
        """The Iceberg snapshot of each table on this night, for lineage."""
        shown = self.night(night)
        found = {table.name: self._snapshot(table.name, shown) for table in ALL}
        return {name: id_ for name, id_ in found.items() if id_ is not None}

    def _snapshot(self, name: str, night: date | None) -> int | None:
        iceberg = IcebergTable(self.spark, name)
        if night is not None:
            return iceberg.tags()[tag_of(night)]
        current = iceberg.current()
        return None if current is None else current.id

    def stats(self, names: Iterable[str], night: date | None = None) -> list[TableStats]:
        """The sizes of some tables on a night, from their metadata alone."""
        shown = self.night(night)
        return [table_stats(self.spark, name, self._snapshot(name, shown)) for name in names]

    def check_footers(self, names: Collection[str], night: date | None = None) -> None:
        """Check footers of data files before they decide which rows are read. Does nothing without a storage.

        Raises:
            StoredFileDamaged: a footer is damaged.
        """
        if self._storage is not None:
            shown = self.night(night)
            tag = None if shown is None else tag_of(shown)
            check_footers(self.spark, self._storage, names, None, tag)

    def refs(self, night: date | None = None) -> DataFrame:
        """The refs of all origins on a night: columns of ``refs``, with ``night`` that of the last change."""
        return current_refs(self.table("refs", night))

    def refs_at(self, origin: str, night: date | None = None, network: int | None = None) -> list[Row]:
        """The refs of one origin, sorted by name; rows of ``refs``.

        Args:
            network: the origin's network; None if the origin never was in two.
        """
        mine = F.col("origin") == origin
        if network is not None:
            mine &= F.col("network") == network
        changes = self.table("refs", night).where(mine)
        return current_refs(changes).orderBy("name").collect()

    def objects(self, network: int, bucket: int, night: date | None = None) -> Iterator[GitObject]:
        """Every object of a network, commits first, blobs last, bodies exact.

        Streamed: the driver holds one task's rows at a time. An object that was landed twice is returned twice. Blobs
        whose bytes are not stored are left out. The caller decides which objects an origin reaches: with commits, tags
        and trees before blobs, the closure of its refs is known when the first blob arrives.

        Args:
            bucket: the network's bucket.
        """
        yield from self._objects(CODECS.values(), network, bucket, self.night(night))

    def skeleton(self, network: int, bucket: int) -> Iterator[GitObject]:
        """Like ``objects``, without blobs, and of the current state, which may be newer than the newest night."""
        codecs = (codec for codec in CODECS.values() if codec.type in SKELETON)
        yield from self._objects(codecs, network, bucket, None)

    def _objects(self, codecs: Iterable[Codec], network: int, bucket: int, night: date | None) -> Iterator[GitObject]:
        for codec in codecs:
            yield from self._stream(codec, network, bucket, night)

    def _stream(self, codec: Codec, network: int, bucket: int, night: date | None) -> Iterator[GitObject]:
        table = codec.table.name
        reader = self.spark.read.option("split-size", str(_SPLIT_BYTES)).option("file-open-cost", "65536")
        if night is not None:
            reader = reader.option("versionAsOf", tag_of(night))
        rows = reader.table(full_name(table)).where((F.col("bucket") == bucket) & (F.col("network") == network))
        rows = visible(rows, table, hidden_now(self.spark))
        with split_freely(self.spark):
            stream = rows.select("oid", *(_cell(name) for name in codec.columns)).toLocalIterator()
        for row in stream:
            yield GitObject(codec.type, bytes(row["oid"]), codec.body(row.asDict()))


def _cell(name: str) -> Column:
    return F.unix_seconds(name).alias(name) if name.endswith("_time") else F.col(name)
