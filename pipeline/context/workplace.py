"""What every command and run works with: the configuration, the storage, and one Spark session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.context.archive import ArchiveInfo, archive_info, check_place
from pipeline.context.config import Config
from pipeline.model.errors import UsageError
from pipeline.storage.interface import Storage
from pipeline.tables.settings import SparkSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class NoHadoopConfiguration(UsageError):
    """YARN is configured, and nothing says where it is."""

    def __str__(self) -> str:
        return (
            "the master yarn is found through Hadoop's configuration: set spark.hadoop_conf, or HADOOP_CONF_DIR, to "
            "the folder with core-site.xml and yarn-site.xml"
        )


@dataclass(frozen=True, eq=False)
class Workplace:
    """An archive's place and how to work on it."""

    config: Config
    storage: Storage

    @property
    def app(self) -> str:
        """How Spark's pages name this process."""
        return "pipeline"

    def archive(self, *, to_read: bool = False) -> ArchiveInfo:
        """The archive, which must exist.

        Args:
            to_read: without Spark, which finds no file of an archive that was moved.

        Raises:
            NoArchive, ArchiveIsOlder, ArchiveFormatUnknown: there is none, or it has another format.
            ArchiveMoved: it is elsewhere than where it was made, and not only read without Spark.
        """
        info = archive_info(self.storage)
        if not to_read:
            check_place(self.storage)
        return info

    def spark(self) -> SparkSession:
        """The session of this process, started on first use.

        Raises:
            NoHadoopConfiguration: the master is YARN, and nothing says where it is.
        """
        self.check_master()
        return self._session(self.config.spark)

    def check_master(self) -> None:
        """Make sure that the master can be found.

        Raises:
            NoHadoopConfiguration: it is YARN, and nothing says where it is.
        """
        if self.config.spark.master == "yarn" and self.config.spark.hadoop_conf is None:
            raise NoHadoopConfiguration

    def spark_for_metadata(self) -> SparkSession:
        """A session inside this process, whatever the configured cluster; enough to look at tables."""
        return self._session(self.config.spark.here())

    def _session(self, settings: SparkSettings) -> SparkSession:
        from pipeline.tables.session import open_session  # noqa: PLC0415 - commands without Spark need not import it

        return open_session(settings, self.storage.root_uri, self.app)
