"""For those who run the archive: is the night well, what holds it up, what fills up."""

from __future__ import annotations

from pathlib import Path

import yaml
from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards.panels import (
    RATE,
    Limits,
    Query,
    add_row,
    lines,
    listed,
    new_dashboard,
    number,
    of_archive,
    of_hdfs,
    of_runs,
    ranked,
)
from pipeline.workflows.metrics import known
from pipeline.workflows.metrics.known import Metric

ALERTS = Path(__file__).parents[2] / "deploy" / "monitoring" / "alerts.yml"
UID, TITLE = "git-lakehouse-operators", "git-lakehouse: operation"

NOTHING = "failed|refused|deferred"
"""Statuses of visits that brought nothing."""

SHARE, SECONDS, BYTES, COUNT, PER_SECOND, BYTES_PER_SECOND = "percentunit", "s", "bytes", "short", "cps", "Bps"


def operators(other: tuple[str, str]) -> Dashboard:
    """The dashboard.

    Args:
        other: uid and title of the one that it links to.
    """
    made = new_dashboard(UID, TITLE, "Nights, their hosts, housekeeping and disks.", "now-7d", other)
    _now(made)
    _run(made)
    _night(made)
    _origins(made)
    _housekeeping(made)
    _disks(made)
    _hdfs(made)
    return made


def _now(made: Dashboard) -> None:
    names = "|".join(rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"])
    add_row(
        made,
        "Now",
        number(
            "Last complete night", "How long ago it was complete. NightLate fires after 26 hours.", SECONDS,
            f"time() - max({of_archive(known.NIGHT_COMPLETED)})", Limits(24 * 3600, 26 * 3600),
        ),
        number(
            "Exit code of nightly", "0: well, 1: some origins failed, 3: damage, 2 and 5: the night failed.", COUNT,
            f"max({of_archive(known.NIGHTLY_EXIT_CODE)})", Limits(1, 2),
        ),
        number(
            "Nightly ended", "How long ago pipeline nightly last ended, well or not.", SECONDS,
            f"time() - max({of_archive(known.NIGHTLY_ENDED)})",
        ),
        number(
            "Archive held for", "How long a run has held the archive; 0 if none does.", SECONDS,
            f"max({of_archive(known.LEASE_AGE)})", Limits(12 * 3600, 24 * 3600),
        ),
        number(
            "Unfinished loads", "Nights and batches that were begun and are not finished.", COUNT,
            f"max({of_archive(known.LOADS_UNFINISHED)})",
        ),
        number(
            "Metrics collected", "How long ago nothing was left out. If this is old, so is all of this page.", SECONDS,
            f"time() - max({of_archive(known.COLLECTED)})", Limits(1800, 3600),
        ),
        listed(
            "Alerts", "Those that fire or are about to. docs/operations.md has a section for each.",
            f'ALERTS{{alertname=~"{names}"}}', ["Time", "Value", "__name__"],
        ),
        lines(
            "Exit codes", "0: well, 1: some origins failed, 3: damage, 2 and 5: failed.", COUNT,
            Query(f"max({of_archive(known.NIGHTLY_EXIT_CODE)})", "nightly"),
            Query(f"max({of_archive(known.MAINTAIN_EXIT_CODE)})", "maintain"),
            Query(f"max({of_archive(known.COMPACT_EXIT_CODE)})", "compact"),
            Query(f"max({of_archive(known.BACKFILL_EXIT_CODE)})", "backfill origins"),
            Query(f"max({of_archive(known.BACKFILL_JOB_EXIT_CODE)})", "backfill job"),
            Query(f"max({of_archive(known.LEASE_HELD)})", "the archive is held"),
        ),
    )  # fmt: skip


def _run(made: Dashboard) -> None:
    add_row(
        made,
        "The run under way, all crawl hosts together; empty between runs",
        number(
            "Done", "Visits made, of those that the plans ask for.", SHARE,
            f"sum({of_runs(known.RUN_VISITS)}) / max({of_runs(known.RUN_DUE)})",
        ),
        number(
            "Takes so far", "Since the first crawl host began. NightSlow fires after eight hours.", SECONDS,
            f"time() - min({of_runs(known.RUN_STARTED)})", Limits(6 * 3600, 8 * 3600),
        ),
        number(
            "Failed tasks", "Tasks that failed for good.", COUNT, f"sum({of_runs(known.RUN_FAILURES)})", Limits(1, 2)
        ),
        lines(
            "Visits", "By how they end.", PER_SECOND,
            Query(f"sum by (status) (rate({of_runs(known.RUN_VISITS)}[{RATE}]))", "{{status}}"), stacked=True,
        ),
        lines(
            "Errors", "Visits with an error code; docs/operations.md says what each means.", PER_SECOND,
            Query(f"sum by (code) (rate({of_runs(known.RUN_ERRORS)}[{RATE}]))", "{{code}}"), stacked=True,
        ),
        lines(
            "Received", "Bytes of packs.", BYTES_PER_SECOND,
            Query(f"sum by (instance) (rate({of_runs(known.RUN_RECEIVED)}[{RATE}]))", "{{instance}}"), stacked=True,
        ),
        lines(
            "New objects", "Objects that are new to their networks.", PER_SECOND,
            Query(f"sum by (instance) (rate({of_runs(known.RUN_OBJECTS)}[{RATE}]))", "{{instance}}"), stacked=True,
        ),
        ranked(
            "Stages", "From the first task of a stage to its last that has ended, on the slowest host.", SECONDS,
            Query(f"max by (stage) ({of_runs(known.RUN_STAGES)})", "{{stage}}"),
        ),
        ranked(
            "Hosts", "Visits so far, of the ten hosts with most.", COUNT,
            Query(f"topk(10, sum by (host) ({of_runs(known.RUN_HOSTS)}))", "{{host}}"),
        ),
    )  # fmt: skip


def _night(made: Dashboard) -> None:
    add_row(
        made,
        "Nights",
        lines(
            "Visits", "Of the newest complete night, by how they ended.", COUNT,
            Query(f"sum by (status) ({of_archive(known.NIGHT_VISITS)})", "{{status}}"), stacked=True,
        ),
        lines(
            "Errors", "Visits of that night with an error code.", COUNT,
            Query(f"sum by (code) ({of_archive(known.NIGHT_ERRORS)})", "{{code}}"), stacked=True,
        ),
        ranked(
            "Hosts that bring nothing", "Failed, refused and deferred visits of the last night.", COUNT,
            Query(f"topk(10, sum by (host) ({of_archive(known.NIGHT_HOSTS, status=NOTHING)}))", "{{host}}"),
        ),
        ranked(
            "Hosts that take long", "Time of the last night's visits, added up.", SECONDS,
            Query(f"topk(10, max by (host) ({of_archive(known.NIGHT_HOST_SECONDS)}))", "{{host}}"),
        ),
        lines(
            "Stages", "Where the time of a night went, on the machine that finished it.", SECONDS,
            Query(f"max by (stage) ({of_archive(known.NIGHT_STAGES)})", "{{stage}}"), stacked=True,
        ),
        lines(
            "Bytes", "Received as packs, as objects, and as files that were landed.", BYTES,
            Query(f"max({of_archive(known.NIGHT_RECEIVED)})", "received"),
            Query(f"max({of_archive(known.NIGHT_RAW)})", "inflated"),
            Query(f"max({of_archive(known.NIGHT_STORED)})", "stored"),
        ),
        lines(
            "Objects and files", "New objects, and the files that they were landed in.", COUNT,
            Query(f"max({of_archive(known.NIGHT_OBJECTS)})", "objects"),
            Query(f"max({of_archive(known.NIGHT_FILES)})", "files"),
        ),
        lines(
            "Damage", "Files that could not be read, and buckets that were left out. DamageFound fires above 0.", COUNT,
            Query(f"max({of_archive(known.NIGHT_DAMAGED)})", "damaged files"),
            Query(f"max({of_archive(known.NIGHT_LEFT_OUT)})", "buckets left out"),
        ),
    )  # fmt: skip


def _origins(made: Dashboard) -> None:
    fresh, failing, never = map(of_archive, (known.ORIGINS_FRESH, known.ORIGINS_FAILING, known.ORIGINS_NEVER))
    add_row(
        made,
        "Origins",
        lines(
            "Lag", "Active origins by the age of their last good visit, in days; and those without one.", COUNT,
            Query(f"sum by (days) ({fresh})", "{{days}}"), Query(f"max({failing})", "failing"),
            Query(f"max({never})", "never visited"), stacked=True,
        ),
        lines(
            "Backlog", "Active origins that are due, and those whose last visit did not end well.", COUNT,
            Query(f"max({of_archive(known.ORIGINS_DUE)})", "due"), Query(f"max({failing})", "failing"),
        ),
        lines(
            "Precision of signals", "Visits before which a signal came: the share with a change. 30 nights.", SHARE,
            _share(known.SIGNALLED_VISITS, "signal", "right"),
        ),
        lines(
            "Recall of signals", "Changes of which a kind could tell: the share of which it did. 30 nights.", SHARE,
            _share(known.CHANGED_VISITS, "told", "yes"),
        ),
        number(
            "Fresh", "Share of active origins visited well within a day. OriginsStale fires below 90 %.", SHARE,
            f"sum({of_archive(known.ORIGINS_FRESH, days='1')}) / (sum({fresh}) + max({failing}) + max({never}))",
            Limits(0.95, 0.9),
        ),
        number(
            "Due for at most", "How long the longest has waited, in whole days.", SECONDS,
            f"max({of_archive(known.ORIGINS_LONGEST)})",
        ),
    )  # fmt: skip


def _share(metric: Metric, label: str, value: str) -> Query:
    """The part of each kind of signal that has a value of a label."""
    whole = f"sum by (kind) ({of_archive(metric)})"
    return Query(f"sum by (kind) ({of_archive(metric, **{label: value})}) / ({whole} > 0)", "{{kind}}")


def _housekeeping(made: Dashboard) -> None:
    add_row(
        made,
        "Housekeeping and copies",
        number(
            "Maintain ended", "How long ago pipeline maintain last ended; it should run weekly.", SECONDS,
            f"time() - max({of_archive(known.MAINTAIN_ENDED)})", Limits(8 * 86400, 15 * 86400),
        ),
        number(
            "Compact ended", "How long ago pipeline compact last ended; maintain compacts, too.", SECONDS,
            f"time() - max({of_archive(known.COMPACT_ENDED)})",
        ),
        number(
            "Backfill ended", "How long ago pipeline backfill origins last ended.", SECONDS,
            f"time() - max({of_archive(known.BACKFILL_ENDED)})",
        ),
        number(
            "Backfill of a job ended", "How long ago pipeline backfill job last ended.", SECONDS,
            f"time() - max({of_archive(known.BACKFILL_JOB_ENDED)})",
        ),
        number(
            "Copy completed", "How long ago the newest copy was complete. CopyOld fires after 50 hours.", SECONDS,
            f"time() - max({of_archive(known.COPY_COMPLETED)})", Limits(26 * 3600, 50 * 3600),
        ),
        number(
            "Nights not copied", "How far the newest night of that copy is behind that of the archive.", SECONDS,
            f"max({of_archive(known.NIGHT_DATE)}) - max({of_archive(known.COPY_NIGHT)})", Limits(86400, 2 * 86400),
        ),
        number("Nights", "Nights that can be read.", COUNT, f"max({of_archive(known.NIGHTS)})"),
        lines(
            "Waits for compaction", "Bytes that pipeline maintain would rewrite.", BYTES,
            Query(f"max by (table) ({of_archive(known.COMPACTION_OVERDUE_BYTES)})", "{{table}}"),
            Query(f"max by (table) ({of_archive(known.COMPACTION_GAIN)})", "{{table}}: would be freed"),
        ),
        lines(
            "Buckets to compact", "Buckets that pipeline maintain would rewrite.", COUNT,
            Query(f"max by (table) ({of_archive(known.COMPACTION_OVERDUE)})", "{{table}}"),
        ),
        lines(
            "Landings to sweep", "Bytes of published loads that nobody needs.", BYTES,
            Query(f"max({of_archive(known.LANDING_BYTES)})", "bytes"),
        ),
        lines(
            "Files to sweep", "Their number.", COUNT, Query(f"max({of_archive(known.LANDING_FILES)})", "files"),
        ),
        lines(
            "Files of tables", "Data files of the current state; many small ones cost the NameNode.", COUNT,
            Query(f"max by (table) ({of_archive(known.TABLE_FILES)})", "{{table}}"), stacked=True,
        ),
    )  # fmt: skip


def _disks(made: Dashboard) -> None:
    add_row(
        made,
        "Disks",
        lines(
            "Free", "Share that is free; ScratchFull and StorageFull fire below 10 %.", SHARE,
            Query(f"min({of_archive(known.STORAGE_FREE)} / {of_archive(known.STORAGE_SIZE)})", "archive"),
            Query(
                f"min by (instance) ({of_archive(known.SCRATCH_FREE)} / {of_archive(known.SCRATCH_SIZE)})",
                "scratch {{instance}}",
            ),
        ),
        lines(
            "Size of the archive", "Bytes of the files of each table's current state.", BYTES,
            Query(f"max by (table) ({of_archive(known.TABLE_BYTES)})", "{{table}}"), stacked=True,
        ),
    )  # fmt: skip


def _hdfs(made: Dashboard) -> None:
    add_row(
        made,
        "HDFS, if Prometheus reads its daemons",
        number(
            "Missing blocks", "Blocks without a copy. HdfsBlocksMissing fires above 0.", COUNT,
            f"max({of_hdfs('missing_blocks')})", Limits(1, 2),
        ),
        number(
            "Too few copies", "Blocks that have fewer copies than they should; HDFS makes them anew.", COUNT,
            f"max({of_hdfs('under_replicated_blocks')})",
        ),
        number(
            "Dead DataNodes", "Those that the NameNode no longer hears of.", COUNT,
            f"max({of_hdfs('num_dead_data_nodes')})", Limits(1, 2),
        ),
        number("Files", "Files and folders, of all who use it.", COUNT, f"max({of_hdfs('files_total')})"),
        number(
            "NameNode's heap", "Share that is used; it grows with files and blocks.", SHARE,
            "max("
            'jvm_metrics_mem_heap_used_m{job="hdfs", processname="NameNode"}'
            ' / jvm_metrics_mem_heap_max_m{job="hdfs", processname="NameNode"})',
            Limits(0.7, 0.9),
        ),
        number(
            "Free", "Share of what all DataNodes have.", SHARE,
            f"max({of_hdfs('capacity_remaining')} / {of_hdfs('capacity_total')})", Limits(0.2, 0.1),
        ),
        lines(
            "Written", "Bytes that DataNodes have received.", BYTES_PER_SECOND,
            Query(f'sum by (instance) (rate(datanode_bytes_written{{job="hdfs"}}[{RATE}]))', "{{instance}}"),
            stacked=True,
        ),
        lines(
            "Read", "Bytes that DataNodes have sent.", BYTES_PER_SECOND,
            Query(f'sum by (instance) (rate(datanode_bytes_read{{job="hdfs"}}[{RATE}]))', "{{instance}}"),
            stacked=True,
        ),
    )  # fmt: skip
