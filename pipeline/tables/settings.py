"""The configuration of Spark."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.model.redact import carries_secret, without_secrets
from pipeline.rules.cluster import Cluster

ICEBERG = "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0"

JAVA_OPTIONS = "spark.driver.extraJavaOptions"
"""Spark's setting of options for the driver's JVM."""

IMAGE, EXECUTOR_IMAGE = "spark.kubernetes.container.image", "spark.kubernetes.executor.container.image"
"""Spark's settings of what its pods run."""

_FAILING_FAST = "-XX:+ExitOnOutOfMemoryError -XX:+DisplayVMOutputToStderr"
"""Java's word about it goes to standard error: results alone go to standard output."""


class ClusterSettings(BaseModel):
    """Resources that Spark may use; executors, splits and shuffles are computed from them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: int | None = Field(None, ge=1, description="threads; none: those of a local master")
    memory_bytes: int | None = Field(None, ge=1 << 30, description="memory; none: that of this machine")
    disk_bytes: int | None = Field(None, ge=1, description="disk, copies included; none: unknown")


class SparkSettings(BaseModel):
    """How Spark is started. The defaults need only Java."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    master: str = Field("local[*]", description="Spark master URL; local[N] runs inside this process")
    deploy_mode: Literal["client", "cluster"] = Field(
        "client",
        description="where the driver of submit runs: in this process, or with cluster on a node of YARN or in a pod; "
        "that of all other commands runs in this process",
    )
    wait_s: float = Field(600, gt=0, description="seconds that an application waits for a cluster's resources")
    hadoop_conf: Path | None = Field(
        None, description="folder with core-site.xml and yarn-site.xml; none: that of HADOOP_CONF_DIR"
    )
    cluster: ClusterSettings = Field(default_factory=ClusterSettings, description="the cluster's shape")
    driver_memory: str | None = Field(
        None, description="heap of the driver, which is all of Spark on a local master; none: computed"
    )
    java_options: str = Field(
        "",
        description="more options for the driver's JVM; -XX:TieredStopAtLevel=1 makes sessions of seconds faster, "
        "and in sessions of minutes needs -XX:ReservedCodeCacheSize=256m as well",
    )
    iceberg: str = Field(
        ICEBERG,
        pattern=r"^[^:\s]+:[^:\s]+:[^:\s]+$",
        description="Maven coordinate of the Iceberg runtime for this Spark",
    )
    conf: dict[str, str] = Field(
        default_factory=dict, description="more Spark settings, by their full names; they override ours"
    )

    @model_validator(mode="after")
    def _knows_the_cluster(self) -> SparkSettings:
        if not self.local and (self.cluster.threads is None or self.cluster.memory_bytes is None):
            raise ValueError(
                f"the master {without_secrets(self.master)} needs cluster.threads and cluster.memory_bytes"
            )
        if self.deploy_mode == "cluster" and self.master != "yarn" and not self.on_kubernetes:
            raise ValueError(
                "deploy_mode cluster needs the master yarn or k8s://: no other runs Python drivers for submit"
            )
        if self.on_kubernetes and not self.conf.keys() & {IMAGE, EXECUTOR_IMAGE}:
            raise ValueError(f'a master on Kubernetes needs "{IMAGE}" in spark.conf')
        return self

    @property
    def local(self) -> bool:
        """Whether Spark runs inside this process."""
        return self.master.startswith("local")

    @property
    def on_kubernetes(self) -> bool:
        """Whether executors are pods."""
        return self.master.startswith("k8s://")

    @property
    def shape(self) -> Cluster:
        """Resources that Spark may use; missing ones are those of this machine."""
        given = self.cluster
        return Cluster(
            given.threads or _local_threads(self.master),
            given.memory_bytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            given.disk_bytes or 0,
            self.local,
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values of settings that are or contain secrets."""
        return tuple(value for key, value in self.conf.items() if carries_secret(key, value))

    def failing_fast(self) -> SparkSettings:
        """The same with a JVM of the driver that ends when its heap is full. Otherwise the thread that met it dies, and
        whoever waits for it waits for ever.
        """
        conf = dict(self.conf)
        if JAVA_OPTIONS in conf:  # it overrides java_options
            conf[JAVA_OPTIONS] = f"{_FAILING_FAST} {conf[JAVA_OPTIONS]}"
        return self.model_copy(update={"java_options": f"{_FAILING_FAST} {self.java_options}".rstrip(), "conf": conf})

    def here(self) -> SparkSettings:
        """The same with Spark inside this process: enough to read metadata, without executors."""
        if self.local:
            return self
        of_files = {key: value for key, value in self.conf.items() if key.startswith(("spark.hadoop.", "spark.jars"))}
        return SparkSettings(
            master="local[2]",
            hadoop_conf=self.hadoop_conf,
            java_options=self.java_options,
            iceberg=self.iceberg,
            conf=of_files,
        )


def _local_threads(master: str) -> int:
    """N of ``local[N]`` and ``local[N,F]``, all threads of this machine for ``local[*]``, 1 for ``local``."""
    found = re.fullmatch(r"local\[(\*|\d+)(,\d+)?\]", master)
    if found is None:
        return 1
    return len(os.sched_getaffinity(0)) if found[1] == "*" else int(found[1])
