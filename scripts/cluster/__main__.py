"""The command behind ``scripts/cluster_model``."""

from __future__ import annotations

from pathlib import Path

import click

from cluster import assumed, plots, reasons, report, settings, stages
from cluster.outcome import Outcome, outcome
from cluster.population import populate
from cluster.rates import Rates

ROOT = Path(__file__).parents[2]
THREADS = (100, 250, 500, 1_000, 2_000, 4_000)
ARCHIVES = (20e12, 100e12, 500e12, assumed.RAW_BYTES)
BUCKETS = (256, 1_024, 4_096, 16_384)
BATCHES = (10_000, 100_000, 1_000_000, 4_000_000)
VISITS_S = (3600.0, 300.0)
"""Limits of a visit: the usual one, and one with which long visits are left to a batch of their own."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--seed", default=1, help="Of the population; the same seed makes the same figures.")
@click.option("--docs", default=ROOT / "docs", type=click.Path(exists=True, file_okay=False, path_type=Path))
def model(seed: int, docs: Path) -> None:
    """Model 1,000 threads, 6 TB of memory and 500 TB of disk with our own decisions; write cluster.md and its plots."""
    rates = Rates.measured(ROOT / "docs" / "benchmarks.json")
    people = populate(assumed.RAW_BYTES, settings.BUCKETS, seed)
    by_threads = {threads: outcome(people, rates, seed, threads) for threads in THREADS}
    full = by_threads[assumed.THREADS]
    by_size = {raw: _of(raw, settings.BUCKETS, rates, seed) for raw in ARCHIVES[:-1]} | {ARCHIVES[-1]: full}
    by_buckets = {
        buckets: full if buckets == settings.BUCKETS else _of(assumed.RAW_BYTES, buckets, rates, seed)
        for buckets in BUCKETS
    }
    crawls = {
        (size, visit_s): stages.first_crawl(people, rates, assumed.THREADS, seed, size, visit_s)
        for size in BATCHES
        for visit_s in VISITS_S
    }
    plots.plot(docs / "cluster_threads.svg", "threads", by_threads)
    plots.plot(docs / "cluster_size.svg", "raw bytes", by_size)
    report.fill(
        docs / "cluster.md",
        [
            "## Population",
            report.population_table(full),
            "## Makespans at 1,000 threads",
            report.stage_table(full.stages),
            "## Sizes of tasks",
            reasons.size_table(full),
            "## Why a makespan is over its bound",
            reasons.bound_table(full),
            "## Files, memory, bytes",
            report.holdings_table(full),
            "## Bytes written in a night",
            report.written_table(full.night),
            "## Hosts",
            report.host_table(full),
            report.manners_table(full),
            "## By threads",
            "![Makespan and lower bound against threads](cluster_threads.svg)",
            report.series_table("threads", {f"{threads:,}": each for threads, each in by_threads.items()}),
            "## By size of the archive, 1,000 threads",
            "![Makespan and lower bound against raw bytes](cluster_size.svg)",
            report.series_table("raw", {report.size(raw): each for raw, each in by_size.items()}),
            "## By number of buckets, over the bound",
            report.bucket_table(by_buckets),
            "## By size of a batch of the first crawl, and limit of a visit",
            report.batch_table(crawls),
            "## Rates",
            report.rate_table(rates),
        ],
    )
    click.echo(report.stage_table(full.stages))
    click.echo(f"written: {docs / 'cluster.md'} and its plots")


def _of(raw: float, buckets: int, rates: Rates, seed: int) -> Outcome:
    return outcome(populate(raw, buckets, seed), rates, seed)


if __name__ == "__main__":
    model()
