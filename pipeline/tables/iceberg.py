"""Iceberg's Java API, for what SQL says slower or not at all. The only module that reaches into the JVM.

Measured on a laptop with a warm session: registering two files takes 0.1 s here and 1.8 s through ``add_files``,
setting a tag 0.05 s here and 0.3 s through SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.errors import CheckFailed
from pipeline.model.tables import NAMESPACE
from pipeline.plan.partitioning import raw_ratio, split_of
from pipeline.tables.session import CATALOG

LOAD_PROPERTY = "pipeline.load"
DIGEST_PROPERTY = "pipeline.digest"
RATIO_PROPERTY = "pipeline.raw-ratio"
"""Of a table: its raw bytes for each stored one, kept true by every commit that registers files."""

SPLIT_PROPERTY, OPEN_COST_PROPERTY = "read.split.target-size", "read.split.open-file-cost"
"""Iceberg's own names for how a table is cut."""

STORED_BYTES, DATA_FILES, RECORDS = "total-files-size", "total-data-files", "total-records"
DELETE_FILES = "total-delete-files"
"""Keys of a snapshot's summary."""

_FOOTER_THREADS = 16
_PARQUET = "org.apache.iceberg.shaded.org.apache.parquet.hadoop"

JavaObject = Any
"""py4j makes these from whatever the JVM holds; nothing static is known about them."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot; ``summary`` holds Iceberg's counts and the properties that the commit was given."""

    id: int
    summary: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NewFile:
    """A Parquet file to register, ``bucket`` being its partition."""

    uri: str
    bucket: int


@dataclass(frozen=True, slots=True)
class Registered:
    """What registering takes of a file: Iceberg's record of it, and its bytes as stored and without compression."""

    data_file: JavaObject
    stored_bytes: int
    raw_bytes: int


def full_name(table: str, namespace: str = NAMESPACE) -> str:
    """``archive.code.TABLE``."""
    return f"{CATALOG}.{namespace}.{table}"


class IcebergTable:
    """A handle on one table; every call sees the newest state."""

    def __init__(self, spark: SparkSession, table: str, namespace: str = NAMESPACE) -> None:
        self.name = full_name(table, namespace)
        self._spark = spark
        self._java = self._class("spark.Spark3Util").loadIcebergTable(spark._jsparkSession, self.name)
        self._java.refresh()

    def current(self) -> Snapshot | None:
        """The current snapshot, None for a table that never had one."""
        snapshot = self._java.currentSnapshot()
        return None if snapshot is None else Snapshot(snapshot.snapshotId(), dict(snapshot.summary()))

    def snapshots_with(self, key: str, value: str) -> list[Snapshot]:
        """The snapshots whose commit carried this property, oldest first."""
        found = []
        for snapshot in self._java.snapshots():
            summary = snapshot.summary()
            if summary.get(key) == value:
                found.append(Snapshot(snapshot.snapshotId(), dict(summary)))
        return found

    def tags(self) -> dict[str, int]:
        """Tag names and the snapshots that they name."""
        refs = self._java.refs()
        return {name: refs[name].snapshotId() for name in refs if refs[name].isTag()}

    def create_tag(self, tag: str) -> None:
        """Name the current snapshot, for ever: a tagged snapshot is never expired."""
        self._java.manageSnapshots().createTag(tag, self._java.currentSnapshot().snapshotId()).commit()

    def commit_nothing(self) -> None:
        """Commit an empty snapshot, so that there is one to tag and to compare with."""
        self._java.newFastAppend().commit()

    def snapshot(self, id_: int) -> Snapshot:
        """A snapshot that is known to be there."""
        return Snapshot(id_, dict(self._java.snapshot(id_).summary()))

    def property(self, key: str) -> str | None:
        """One of the table's properties."""
        value = self._java.properties().get(key)
        return None if value is None else str(value)

    def append_files(self, files: Sequence[NewFile], properties: Mapping[str, str]) -> None:
        """Register Parquet files in place, in one commit that carries the properties.

        The caller sees to it that the table knows none of the paths yet.
        """
        new = self._read_footers(files)
        transaction = self._java.newTransaction()
        append = transaction.newAppend()
        for file in new:
            append.appendFile(file.data_file)
        for key, value in properties.items():
            append.set(key, value)
        append.commit()
        self._keep_split(transaction, self._stored_bytes(), new)
        transaction.commitTransaction()

    def _read_footers(self, files: Sequence[NewFile]) -> list[Registered]:
        with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
            return list(pool.map(self._registered, files))

    def _registered(self, file: NewFile) -> Registered:
        parquet = self._class("parquet.ParquetUtil")
        path = self._class("Path", "org.apache.hadoop.fs")(file.uri)
        hadoop = self._spark._jsparkSession.sparkContext().hadoopConfiguration()
        source = self._class("util.HadoopInputFile", _PARQUET).fromPath(path, hadoop)
        reader = self._class("ParquetFileReader", _PARQUET).open(source)
        try:
            footer = reader.getFooter()
        finally:
            reader.close()
        metrics = parquet.footerMetrics(
            footer,
            self._class("Stream", "java.util.stream").empty(),
            self._class("MetricsConfig").forTable(self._java),
            self._class("mapping.MappingUtil").create(self._java.schema()),
        )
        data_file = (
            self._class("DataFiles")
            .builder(self._java.spec())
            .withPath(file.uri)
            .withFileSizeInBytes(source.getLength())
            .withFormat("PARQUET")
            .withMetrics(metrics)
            .withSplitOffsets(parquet.getSplitOffsets(footer))
            .withPartitionPath(f"bucket={file.bucket}")
            .build()
        )
        raw_bytes = sum(group.getTotalByteSize() for group in list(footer.getBlocks()))
        return Registered(data_file, source.getLength(), raw_bytes)

    def _stored_bytes(self) -> int:
        current = self._java.currentSnapshot()
        return 0 if current is None else int(current.summary().get(STORED_BYTES) or 0)

    def _keep_split(self, transaction: JavaObject, kept_bytes: int, new: Sequence[Registered]) -> None:
        """Let every reader's tasks get their share of raw bytes, whatever the new files did to the ratio."""
        known = self.property(RATIO_PROPERTY)
        stored, raw = sum(file.stored_bytes for file in new), sum(file.raw_bytes for file in new)
        ratio = raw_ratio(None if known is None else float(known), kept_bytes, stored, raw)
        split = split_of(self.name.rpartition(".")[2], ratio)
        update = transaction.updateProperties()
        update.set(RATIO_PROPERTY, f"{ratio:.3f}")
        update.set(SPLIT_PROPERTY, str(split.target_bytes))
        update.set(OPEN_COST_PROPERTY, str(split.open_cost_bytes))
        update.commit()

    def name_mapping(self) -> str:
        """JSON that lets readers match the columns of files written outside Iceberg by name."""
        mapping = self._class("mapping.MappingUtil").create(self._java.schema())
        return str(self._class("mapping.NameMappingParser").toJson(mapping))

    def _class(self, name: str, package: str = "org.apache.iceberg") -> JavaObject:
        """A Java class, asked for by its whole name: at each dot of one py4j would look for a class in every jar."""
        return getattr(_jvm(self._spark), f"{package}.{name}")

    def set_properties(self, properties: Mapping[str, str]) -> None:
        """Set table properties."""
        update = self._java.updateProperties()
        for key, value in properties.items():
            update.set(key, value)
        update.commit()


def table_exists(spark: SparkSession, table: str, namespace: str = NAMESPACE) -> bool:
    """Whether there is such a table."""
    return spark.catalog.tableExists(full_name(table, namespace))


def replace_where(df: DataFrame, name: str, condition: Column, properties: Mapping[str, str] | None = None) -> None:
    """Replace the rows that fulfil a condition by those of ``df``, in one commit.

    Unlike a dynamic overwrite this also empties partitions for which ``df`` has no row. The condition must be one
    about partition columns.

    Args:
        name: full table name.
        properties: kept in the snapshot's summary.
    """
    writer = df.writeTo(name)
    for key, value in (properties or {}).items():
        writer = writer.option(f"snapshot-property.{key}", value)
    writer.overwrite(condition)


def in_buckets(buckets: Iterable[int]) -> Column:
    """The condition that prunes a scan or an overwrite to some buckets."""
    return F.col("bucket").isin(sorted(buckets))


def _jvm(spark: SparkSession) -> JavaObject:
    jvm = spark._jvm
    if jvm is None:
        raise CheckFailed("the Spark session has no JVM behind it; Spark Connect is not supported here")
    return jvm
