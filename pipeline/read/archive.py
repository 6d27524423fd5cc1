"""Read the archive: a night's tables as data frames and views, and the objects of a repository."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import date
from functools import cached_property

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from pipeline.model.layout import tag_of
from pipeline.model.objects import SKELETON, GitObject
from pipeline.model.rows import CODECS, Codec
from pipeline.model.tables import ALL, BY_NAME, FILES, REPOSITORIES, Table, spark_type
from pipeline.model.tombstone import Hidden
from pipeline.night.seal import nights
from pipeline.read.authors import authors
from pipeline.read.commit_files import commit_files
from pipeline.read.functions import register_functions
from pipeline.read.licences import licences
from pipeline.read.names import AUTHORS, COMMIT_FILES, COMPUTED, LICENCES, NAMES, ORIGIN_COMMITS, with_parts
from pipeline.read.nights import NotAnArchive, choose_night
from pipeline.read.origin_commits import origin_commits
from pipeline.read.stored_archive import NoSuchTable, StoredArchive
from pipeline.rules.cluster import SHUFFLE_PARTITIONS, fitted_partitions
from pipeline.rules.partitioning import TableStats, direct_tasks
from pipeline.storage.interface import Storage
from pipeline.tables.content_guard import Guard, OnBatches, Skipped
from pipeline.tables.damage import check_footers
from pipeline.tables.file_rows import file_rows
from pipeline.tables.iceberg import IcebergTable, full_name, has_jvm, see_current, table_exists
from pipeline.tables.map_contents import Reader, row_groups
from pipeline.tables.refs import current_refs
from pipeline.tables.session import CATALOG, split_freely
from pipeline.tables.statistics import has_deleted_rows, table_stats
from pipeline.tables.tombstones import hidden_now, visible

MOST_ROWS = ("blobs", "trees")
"""Tables of which one has more rows than any other table that is aggregated by id."""

_COMPUTED: dict[str, Callable[..., DataFrame]] = {
    AUTHORS: authors,
    COMMIT_FILES: commit_files,
    LICENCES: licences,
    ORIGIN_COMMITS: origin_commits,
}
_WORD = re.compile(r"\w+")
_FULL_NAME = re.compile(rf"\b{CATALOG}`?\s*\.\s*`?([A-Za-z_]\w*)`?\s*\.\s*`?([A-Za-z_]\w*)")
"""Namespace and name of a table that a query reads past the views, such as a job's result."""

_SPLIT_BYTES = 2 << 20
"""Compressed bytes per task when objects are streamed: the driver holds the raw bytes of one task."""


class Archive(StoredArchive):
    """The archive as it was on one night: what jobs, ``pipeline shell`` and ``pipeline.open`` give to a person.

    ``table``, ``sql``, ``refs`` and ``map_contents`` are Spark's, and start it if it does not run; all methods of
    ``StoredArchive`` read files in this process.

    Args:
        spark: a session of ``open_session``, or what opens one on first use.
        night: default for methods called without a night; None means the newest sealed night, or the current state
            of an archive without one. A night after tomorrow, which an earlier version may have sealed, is read only
            by name.
        storage: storage of the data files; without one, only what Spark alone can do works.

    Raises:
        NightNotFound: on the first read, if the night is not sealed.
    """

    skipped: Skipped | None = None
    """Where ``map_contents`` counts contents on which a function fails; None if none may."""

    def __init__(
        self,
        spark: SparkSession | Callable[[], SparkSession],
        night: date | None = None,
        storage: Storage | None = None,
    ) -> None:
        super().__init__(storage, night)
        self._session = spark

    @cached_property
    def spark(self) -> SparkSession:
        """The session, started on first use; its SQL has the functions of ``read/functions.py``."""
        session = self._session() if callable(self._session) else self._session
        register_functions(session)
        return session

    def nights(self) -> list[date]:
        """The sealed nights, oldest first.

        Raises:
            NotAnArchive: there are no tables.
        """
        if self._storage is not None:
            return super().nights()
        if not table_exists(self.spark, "origins"):
            raise NotAnArchive
        return nights(self.spark)

    def night(self, night: date | None = None) -> date | None:
        """The night that a read with this argument uses; None for the current state.

        Raises:
            NightNotFound: it is not sealed.
        """
        return choose_night(night or self._night, self.nights())

    def sql(self, query: str, night: date | None = None) -> DataFrame:
        """A query in Spark's SQL over the tables of a night, by their bare names.

        Raises:
            NightNotFound: the night is not sealed.
            StoredFileDamaged: the footer of a file that would be read is damaged.
        """
        self.register_views(night, NAMES & set(_WORD.findall(query.lower())))
        for namespace, name in sorted(set(_FULL_NAME.findall(query))):
            if table_exists(self.spark, name, namespace):
                see_current(self.spark, name, namespace)
        return self.spark.sql(query)

    def table(self, name: str, night: date | None = None) -> DataFrame:
        """One table on a night, or what has a name like one.

        Raises:
            NoSuchTable: its name is not one of ``NAMES``.
            NightNotFound: the night is not sealed.
        """
        if name not in NAMES:
            raise NoSuchTable(name)
        return self._at(name, self.night(night))

    def _at(self, name: str, night: date | None, gone: Hidden | None = None) -> DataFrame:
        gone = self._look(with_parts((name,))) if gone is None else gone
        if name in COMPUTED:
            return self._computed(name, night, gone)
        rows = _complete(self._stored(name, night), BY_NAME[name])
        if name == FILES.name:
            rows = file_rows(rows, _complete(self._stored(REPOSITORIES.name, night), REPOSITORIES))
        shown = visible(rows, name, gone)
        return shown if self.below is None else shown.where(F.col("network") < self.below)

    def _look(self, names: Collection[str]) -> Hidden:
        """Look up stored tables, whose state a session may know from before the night; return what must be skipped.

        Takedowns are looked up first: then none is missed whose rows a table still has.
        """
        gone = hidden_now(self.spark)
        for name in names:
            see_current(self.spark, name)
        return gone

    def _stored(self, name: str, night: date | None, part: str = "") -> DataFrame:
        """A table as of a night, in the state that was looked up last."""
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

        Workers open the data files themselves. Spark reads instead without a storage, over Spark Connect, or if files
        hold deleted or taken-down rows.

        Args:
            function: from an iterator of record batches with ``columns`` to an iterable; called once per task.
            schema: schema of its result, as for ``mapInArrow``.
            columns: columns of ``contents``, in the order that the function gets them.
            head_only: only contents at HEAD of some repository.

        Raises:
            BadContent: on actions, if the function fails on a content; named by its network and id.
        """
        shown = self.night(night)
        guard = Guard(function, tuple(columns), self.skipped)
        storage = self._storage if has_jvm(self.spark) else None
        gone = self._look(("contents",))
        if storage is None or self._has_hidden("contents", shown, gone):
            table = self._at("contents", shown, gone)
            rows = table.where("at_head") if head_only else table
            return rows.select(*guard.read).mapInArrow(guard.__call__, schema)
        (stats,) = self.stats(["contents"], shown)
        tasks = direct_tasks(stats.raw_bytes, self.spark.sparkContext.defaultParallelism)
        places = row_groups(self._stored("contents", shown, part=".files")).repartition(tasks)
        reader = Reader(storage, head_only, guard, self.below)
        return places.mapInArrow(reader.__call__, schema)

    def _has_hidden(self, name: str, night: date | None, gone: Hidden) -> bool:
        """Whether files hold rows that are not to be shown."""
        return gone.touches(name) or has_deleted_rows(self.spark, name, self._snapshot(name, night))

    def content_places(self, night: date | None = None) -> DataFrame:
        """Where the contents at HEAD are: bucket, network and oid, the URI of a data file, and the position in it.

        An object that was landed twice has two places.
        """
        shown = self.night(night)
        gone = self._look(("contents",))
        rows = self._stored("contents", shown).where("at_head")
        places = rows.select("bucket", "network", "oid", F.col("_file").alias("uri"), F.col("_pos").alias("position"))
        return visible(places, "contents", gone)

    def commit_files(self, night: date | None = None, networks: Collection[int] | None = None) -> DataFrame:
        """What each commit changed against its first parent, file by file: the columns of ``read/commit_files.py``.

        It is computed from all commits and trees of the networks whenever it is read, so choose networks, or store it.

        Args:
            networks: ids of networks; None for all.
        """
        return self._computed(COMMIT_FILES, self.night(night), networks=networks)

    def origin_commits(self, night: date | None = None, networks: Collection[int] | None = None) -> DataFrame:
        """Which origin reaches which commit: the columns of ``read/origin_commits.py``; computed as ``commit_files``.

        Args:
            networks: ids of networks; None for all.
        """
        return self._computed(ORIGIN_COMMITS, self.night(night), networks=networks)

    def authors(self, night: date | None = None, networks: Collection[int] | None = None) -> DataFrame:
        """Who wrote the commits of each origin: the columns of ``read/authors.py``; computed as ``commit_files``.

        Args:
            networks: ids of networks; None for all.
        """
        return self._computed(AUTHORS, self.night(night), networks=networks)

    def licences(self, night: date | None = None, networks: Collection[int] | None = None) -> DataFrame:
        """Licence files at HEAD: the columns of ``read/licences.py``.

        Args:
            networks: ids of networks; None for all.
        """
        return self._computed(LICENCES, self.night(night), networks=networks)

    def _computed(
        self, name: str, night: date | None, gone: Hidden | None = None, networks: Collection[int] | None = None
    ) -> DataFrame:
        gone = self._look(with_parts((name,))) if gone is None else gone
        parts = [self._at(part, night, gone) for part in COMPUTED[name]]
        if networks is not None:
            parts = [part.where(F.col("network").isin(sorted(networks))) for part in parts]
        return _COMPUTED[name](*parts)

    def register_views(self, night: date | None = None, read: Collection[str] | None = None) -> date | None:
        """Make all bare names refer to that night, in SQL too, and fit shuffles to its size; return the night.

        Args:
            read: names that will be read; None for all.

        Raises:
            StoredFileDamaged: one of their footers is damaged, so rows could be skipped.
        """
        shown = self.night(night)
        gone = self._look(BY_NAME)
        self.check_footers(with_parts(NAMES if read is None else read), shown)
        self._fit_shuffles(shown)
        for name in BY_NAME.keys() | (COMPUTED.keys() if read is None else COMPUTED.keys() & read):
            self._at(name, shown, gone).createOrReplaceTempView(name)
        return shown

    def _fit_shuffles(self, night: date | None) -> None:
        """Give aggregations of the whole archive as many reduce tasks as its rows need, never fewer than now.

        A Spark Connect server has done so.
        """
        if not has_jvm(self.spark):
            return
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
        gone = self._look((table,))
        reader = self.spark.read.option("split-size", str(_SPLIT_BYTES)).option("file-open-cost", "65536")
        if night is not None:
            reader = reader.option("versionAsOf", tag_of(night))
        rows = reader.table(full_name(table)).where((F.col("bucket") == bucket) & (F.col("network") == network))
        rows = visible(rows, table, gone)
        with split_freely(self.spark):
            stream = rows.select("oid", *(_cell(name) for name in codec.columns)).toLocalIterator()
        for row in stream:
            yield GitObject(codec.type, bytes(row["oid"]), codec.body(row.asDict()))


def _complete(rows: DataFrame, table: Table) -> DataFrame:
    """The rows with null in columns that the table did not have on that night."""
    lacking = [column for column in table.columns if column.name not in rows.columns]
    added = rows.withColumns({c.name: F.lit(None).cast(spark_type(c.type)) for c in lacking}) if lacking else rows
    return added.select(*table.column_names) if lacking else rows


def _cell(name: str) -> Column:
    return F.unix_seconds(name).alias(name) if name.endswith("_time") else F.col(name)
