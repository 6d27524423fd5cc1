"""Our side: a separate archive for each comparison, driven by the commands and steps of a night.

Functions here work in the calling process; ``measure.in_child`` provides one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from click.testing import CliRunner
from pyspark.sql import SparkSession

from benchmarks.measure import Cost, command, cost_of
from pipeline.cli.main import cli
from pipeline.context.archive import archive_info
from pipeline.context.config import Config, load_config
from pipeline.fetch.bucket import fetch_bucket
from pipeline.maintain.compact import Manner, bucket_stats, compact, layout_of
from pipeline.model.layout import Load
from pipeline.model.manifest import Manifest
from pipeline.model.origin import bucket_of, network_id
from pipeline.model.tables import ALL
from pipeline.night.plan import read_plan, write_plan
from pipeline.rules.budget import Budget
from pipeline.rules.cluster import piece_jobs
from pipeline.storage.factory import open_storage
from pipeline.storage.interface import Storage
from pipeline.storage.lease import Lease, Owner
from pipeline.storage.preparation import prepare_process
from pipeline.tables.iceberg import full_name
from pipeline.tables.session import open_session
from pipeline.tables.writer import Writer, unleased

prepare_process()  # as in the process that forks a night's fetch tasks

FIRST_NIGHT = date(2026, 1, 1)
LEAST_BUCKETS = 8
CORES = 2
"""Spark's cores, so that figures of different machines are comparable."""


class CommandFailed(Exception):
    """One of our commands ended with an error."""


@dataclass(frozen=True, slots=True)
class Bed:
    """An archive in ``folder`` and its configuration; ``driver_memory`` is the driver's heap, None for the default."""

    folder: Path
    buckets: int = LEAST_BUCKETS
    driver_memory: str | None = None

    @property
    def config_path(self) -> Path:
        """The configuration file for all commands."""
        return self.folder / "config.toml"

    @property
    def config(self) -> Config:
        """The configuration."""
        return load_config(self.config_path)

    @property
    def storage(self) -> Storage:
        """The archive's storage."""
        return open_storage(self.config.archive.location)

    def spark(self) -> SparkSession:
        """This process's session."""
        return open_session(self.config.spark, self.storage.root_uri, "bench")

    def write_config(self) -> None:
        """Allow servers on loopback, run no jobs, and keep all other defaults."""
        sections: dict[str, dict[str, object]] = {
            "archive": {"location": str(self.folder / "archive"), "buckets": self.buckets},
            "fetch": {"scratch": str(self.folder / "scratch"), "allowed_networks": [str(IPv4Network("127.0.0.0/8"))]},
            "fetch.limits": {"total_s": 86_400},
            "nightly": {"jobs": []},
            "spark": {"master": f"local[{CORES}]"},
            "log": {"level": "WARNING"},
        }
        if self.driver_memory is not None:
            sections["spark"]["driver_memory"] = self.driver_memory
        lines = [
            line
            for name, values in sections.items()
            for line in (f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), "")
        ]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_path.write_text("\n".join(lines))


def night(number: int) -> date:
    """The date of a night, the first being 0."""
    return FIRST_NIGHT + timedelta(number)


def bucket_for(url: str, buckets: int) -> int:
    """The bucket of an origin that is not a fork."""
    return bucket_of(network_id(url), buckets)


def enough_buckets(urls: Sequence[str]) -> int:
    """A number of buckets with which each of these origins has its own."""
    buckets = LEAST_BUCKETS
    while len({bucket_for(url, buckets) for url in urls}) < len(urls):
        buckets += 1
    return buckets


def run(bed: Bed, *words: str, stdin: str = "") -> Any:  # noqa: ANN401 - whatever the command reports
    """Run a command in this process and return its JSON output.

    Raises:
        CommandFailed: its exit code is not 0.
    """
    done = CliRunner().invoke(cli, [*words, "--config", str(bed.config_path), "--output", "json"], input=stdin)
    if done.exit_code != 0:
        raise CommandFailed(f"{' '.join(words)} ended with {done.exit_code}: {done.stderr}")
    return json.loads(done.stdout)


def create(bed: Bed, urls: Sequence[str]) -> None:
    """Create an archive with these origins, each its own network."""
    bed.write_config()
    run(bed, "init")
    run(bed, "origins", "add", "--from", "-", stdin="\n".join(urls))


def plan(bed: Bed, number: int) -> tuple[int, ...]:
    """Plan a night and return the buckets with work."""
    storage, load = bed.storage, Load.of_night(night(number))
    return tuple(sorted(write_plan(unleased(bed.spark()), storage, load, archive_info(storage).buckets).buckets))


def create_and_plan(bed: Bed, urls: Sequence[str]) -> tuple[int, ...]:
    """``create``, then ``plan`` the first night."""
    create(bed, urls)
    return plan(bed, 0)


def fetch(bed: Bed, number: int, buckets: Sequence[int]) -> list[Manifest]:
    """Run the fetch tasks of a planned night, one after the other. They may be repeated."""
    settings = bed.config.fetch
    return [
        fetch_bucket(
            bed.storage,
            Load.of_night(night(number)),
            bucket,
            run_id="bench",
            conditions=bed.config.conditions,
            concurrency=settings.concurrency,
            scratch=settings.scratch_folder,
            run_bytes=settings.run_bytes,
        )
        for bucket in buckets
    ]


def nightly(bed: Bed, number: int) -> Any:  # noqa: ANN401 - the command's own summary
    """Run a night, or what is left of it."""
    return run(bed, "nightly", "--night", str(night(number)))


def restore(bed: Bed, url: str, to: Path) -> Any:  # noqa: ANN401 - the command's own summary
    """Restore a repository with the command as its users start it."""
    program = Path(sys.executable).with_name("pipeline")
    return json.loads(command([program, "restore", url, to, "--config", bed.config_path, "--output", "json"]))


def compact_buckets(bed: Bed, buckets: Sequence[int]) -> tuple[Cost, dict[int, Cost]]:
    """Compact some buckets, one after the other: the cost of choosing, and of each bucket."""
    storage, config, spark = bed.storage, bed.config, bed.spark()
    manner = Manner(
        layout_of(config.maintain), piece_jobs(config.spark.shape), config.fetch.scratch_folder, lambda: True
    )
    costs: dict[int, Cost] = {}
    with Lease.acquire(storage, Owner.here("bench", "compact"), ttl_s=config.archive.lease_s) as lease:
        stats, choose = cost_of(bucket_stats, spark)
        writer = Writer(spark, lease.check)
        for bucket in buckets:
            mine = [each for each in stats if each.bucket == bucket]
            run = compact(spark, storage, mine, Budget(), manner, lambda _: nullcontext(writer))
            done, costs[bucket] = cost_of(list, run)
            assert len(done) == len(mine), f"bucket {bucket} was not compacted"
    return choose, costs


def touched(bed: Bed, number: int) -> int:
    """The number of buckets with work in a night."""
    return len(read_plan(bed.storage, Load.of_night(night(number))).buckets)


def stored_bytes(bed: Bed) -> dict[str, dict[int, int]]:
    """Live data and delete files of each table by bucket, in bytes."""
    spark = bed.spark()
    return {
        table.name: {
            row["bucket"]: row["size"]
            for row in spark.sql(
                "SELECT partition.bucket AS bucket, sum(file_size_in_bytes) AS size "  # noqa: S608 - names of ours
                f"FROM {full_name(table.name)}.files GROUP BY 1"
            ).collect()
        }
        for table in ALL
    }


def data_files(bed: Bed) -> int:
    """The number of data files that all snapshots have added so far."""
    spark = bed.spark()
    return sum(
        int(row["added"] or 0)
        for table in ALL
        for row in spark.sql(
            f"SELECT sum(int(summary['added-data-files'])) AS added FROM {full_name(table.name)}.snapshots"  # noqa: S608 - names of ours
        ).collect()
    )


def head_group_bytes(bed: Bed, bucket: int) -> int:
    """Raw bytes of contents in row groups that a scan of HEAD cannot skip."""
    spark = bed.spark()
    files = spark.table(f"{full_name('contents')}.files").where(f"content = 0 AND partition.bucket = {bucket}")
    read = 0
    for row in files.collect():
        with pq.ParquetFile(row["file_path"].removeprefix("file:")) as file:
            flag, content = (file.schema_arrow.get_field_index(name) for name in ("at_head", "content"))
            for group in map(file.metadata.row_group, range(file.num_row_groups)):
                statistics = group.column(flag).statistics
                if statistics is None or statistics.max:
                    read += group.column(content).total_uncompressed_size
    return read
