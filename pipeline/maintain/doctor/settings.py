"""The configuration against itself and the archive."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pipeline.context.config import Config
from pipeline.maintain.doctor.finding import Finding, ok, settings_failure, warning

VERIFY = "spark.hadoop.parquet.page.verify-checksum.enabled"
SHORT_LEASE_S = 60


def check_settings(config: Config, buckets: int | None, jobs: Collection[str]) -> Iterator[Finding]:
    """Find settings that are valid but probably unintended.

    Args:
        buckets: the archive's number of buckets; None without an archive.
        jobs: names of existing jobs.
    """
    found = list(_oddities(config, buckets, jobs))
    yield from found
    if not found:
        yield ok("configuration", "nothing odd in it")


def _oddities(config: Config, buckets: int | None, jobs: Collection[str]) -> Iterator[Finding]:
    name = "configuration"
    missing = [job for job in config.nightly.jobs if job not in jobs]
    if missing:
        yield settings_failure(name, f"nightly.jobs has {', '.join(missing)}, which are not in jobs/", "correct it")
    threads = config.spark.shape.threads
    if buckets is not None and config.fetch.workers > buckets:
        yield warning(name, f"{config.fetch.workers} fetch.workers have only {buckets} buckets", f"set it to {buckets}")
    if buckets is not None and not config.spark.local and buckets < threads:
        yield warning(
            name,
            f"{buckets} buckets on {threads} threads: a join by bucket leaves most of them idle",
            "an archive's buckets never change; create the next one with at least as many --buckets as threads",
        )
    if config.archive.lease_s < SHORT_LEASE_S:
        yield warning(
            name,
            f"archive.lease_s is {config.archive.lease_s:g}",
            "such a short pause loses the archive; set 300",
        )
    if config.spark.conf.get(VERIFY, "true").lower() != "true":
        yield warning(name, f"spark.conf turns {VERIFY} off", "remove it: flipped bits would be read as data")
    if config.fetch.limits.silence_s > config.fetch.limits.total_s:
        yield warning(name, "fetch.limits.silence_s is over total_s", "lower it: a silent server takes the whole visit")
