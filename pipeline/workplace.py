"""What every command and run works with: the configuration, the storage, and one Spark session."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import SparkSession

from pipeline.archive import ArchiveInfo, open_archive
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.storage.interface import Storage
from pipeline.tables.session import open_session


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

    def archive(self) -> ArchiveInfo:
        """The archive, which must exist.

        Raises:
            NoArchive, ArchiveIsOlder, ArchiveFormatUnknown: there is none, or it has another format.
        """
        return open_archive(self.storage)

    def spark(self) -> SparkSession:
        """The session of this process, started on first use.

        Raises:
            NoHadoopConfiguration: the master is YARN, and nothing says where it is.
        """
        self.check_master()
        return open_session(self.config.spark, self.storage.root_uri, self.app)

    def check_master(self) -> None:
        """Make sure that the master can be found.

        Raises:
            NoHadoopConfiguration: it is YARN, and nothing says where it is.
        """
        if self.config.spark.master == "yarn" and self.config.spark.hadoop_conf is None:
            raise NoHadoopConfiguration

    def spark_for_metadata(self) -> SparkSession:
        """A session inside this process, whatever the configured cluster; enough to look at tables."""
        return open_session(self.config.spark.here(), self.storage.root_uri, self.app)
