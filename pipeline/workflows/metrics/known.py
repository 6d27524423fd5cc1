"""Every metric, defined once: docs/metrics.md lists them from here, and nothing else is exposed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PREFIX = "git_lakehouse_"

Labels = tuple[str, ...]
"""Values of a metric's labels, in their order; empty for a metric without any."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. ``name`` lacks the prefix and ends in the unit, if it has one, and ``_total`` for a counter."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Literal["gauge", "counter"] = "gauge"

    @property
    def full_name(self) -> str:
        """As Prometheus has it."""
        return PREFIX + self.name


Values = dict[Metric, Mapping[Labels, float]]
"""Metrics with their values, by labels."""


def _counter(name: str, doc: str, labels: tuple[str, ...] = ()) -> Metric:
    return Metric(name, doc, labels, "counter")


_OF_HOSTS = ("host", "status")

RUN_STARTED = Metric("run_started_timestamp_seconds", "When this run, nightly or backfill, began.", ("run",))
RUN_DUE = Metric("run_origins_due", "Origins that the plans of this run visit, on all crawl hosts together.")
RUN_VISITS = _counter("run_visits_total", "Visits of this run on this machine.", ("status",))
RUN_ERRORS = _counter("run_visit_errors_total", "Visits of this run with an error code.", ("code",))
RUN_HOSTS = Metric("run_host_visits", "Visits of this run by host; the 50 with most, and all others.", _OF_HOSTS)
RUN_OBJECTS = _counter("run_objects_total", "Objects that visits of this run found, new to their networks.")
RUN_RECEIVED = _counter("run_received_bytes_total", "Bytes of packs that visits of this run received.")
RUN_STAGES = Metric("run_stage_seconds", "From the first task of a stage to the last that has ended.", ("stage",))
RUN_FAILURES = _counter("run_failed_tasks_total", "Tasks of this run that failed for good.")
SCRATCH_FREE = Metric("scratch_free_bytes", "Free on the disk of fetch.scratch.")
SCRATCH_SIZE = Metric("scratch_size_bytes", "Size of the disk of fetch.scratch.")

NIGHTLY_ENDED = Metric("nightly_ended_timestamp_seconds", "When `pipeline nightly` last ended, well or not.")
NIGHTLY_EXIT_CODE = Metric("nightly_exit_code", "Exit code of that `pipeline nightly`.")
BACKFILL_ENDED = Metric("backfill_ended_timestamp_seconds", "When `pipeline backfill origins` last ended, well or not.")
BACKFILL_EXIT_CODE = Metric("backfill_exit_code", "Exit code of that `pipeline backfill origins`.")
MAINTAIN_ENDED = Metric("maintain_ended_timestamp_seconds", "When `pipeline maintain` last ended, well or not.")
MAINTAIN_EXIT_CODE = Metric("maintain_exit_code", "Exit code of that `pipeline maintain`.")
COMPACT_ENDED = Metric("compact_ended_timestamp_seconds", "When `pipeline compact` last ended, well or not.")
COMPACT_EXIT_CODE = Metric("compact_exit_code", "Exit code of that `pipeline compact`.")
BACKFILL_JOB_ENDED = Metric(
    "backfill_job_ended_timestamp_seconds", "When `pipeline backfill job` last ended, well or not."
)
BACKFILL_JOB_EXIT_CODE = Metric("backfill_job_exit_code", "Exit code of that `pipeline backfill job`.")
COPY_COMPLETED = Metric("copy_completed_timestamp_seconds", "When `pipeline copy` last completed a copy, wherever to.")
COPY_NIGHT = Metric("copy_night_date_timestamp_seconds", "Date of the newest night of that copy, 00:00 UTC.")

NIGHT_DATE = Metric("night_date_timestamp_seconds", "Date of the newest complete night, 00:00 UTC.")
NIGHT_COMPLETED = Metric("night_completed_timestamp_seconds", "When the newest complete night was complete.")
NIGHT_VISITS = Metric("night_visits", "Visits of the newest complete night.", ("status",))
NIGHT_ERRORS = Metric("night_visit_errors", "Visits of that night with an error code.", ("code",))
NIGHT_HOSTS = Metric("night_host_visits", "Visits of that night by host; the 50 with most, and all others.", _OF_HOSTS)
NIGHT_HOST_SECONDS = Metric("night_host_seconds", "Time of that night's visits by host, added up; the same.", ("host",))
NIGHT_OBJECTS = Metric("night_objects", "Objects that visits of that night found, new to their networks.")
NIGHT_RECEIVED = Metric("night_received_bytes", "Bytes of packs that visits of that night received.")
NIGHT_RAW = Metric("night_raw_bytes", "Bytes of blobs and trees that night added, inflated.")
NIGHT_STORED = Metric("night_stored_bytes", "Bytes of the files that night landed.")
NIGHT_FILES = Metric("night_files", "Files that night landed.")
NIGHT_STAGES = Metric("night_stage_seconds", "Time of a stage, on the machine that finished that night.", ("stage",))
NIGHT_DAMAGED = Metric("night_damaged_files", "Files of the archive that this night could not read.")
NIGHT_LEFT_OUT = Metric("night_left_out_buckets", "Buckets that the derived tables of that night do not follow.")

COLLECTED = Metric("metrics_collected_timestamp_seconds", "When these were last collected with nothing left out.")
NIGHTS = Metric("nights", "Nights that can be read.")
LOADS_UNFINISHED = Metric("loads_unfinished", "Nights and batches that were begun and are not finished.")
LANDING_FILES = Metric("landing_left_files", "Files in the landings of published loads, which nobody needs.")
LANDING_BYTES = Metric("landing_left_bytes", "Bytes in the landings of published loads, which nobody needs.")
LEASE_HELD = Metric("lease_held", "1 if a run holds the archive, else 0, also if that run is dead.")
LEASE_AGE = Metric("lease_age_seconds", "How long that run has held the archive; 0 if none does.")
SIGNALLED_VISITS = Metric(
    "signalled_visits",
    "Visits of the last 30 nights before which a signal came: right if they found a change.",
    ("kind", "signal"),
)
CHANGED_VISITS = Metric(
    "changed_visits",
    "Visits of these nights that found a change of which a kind of signal could have told: whether it did.",
    ("kind", "told"),
)
ORIGINS_FRESH = Metric(
    "origins_fresh",
    "Active origins whose last visit ended well, by its age: 1 day, 2 to 7, 8 to 30, more.",
    ("days",),
)
ORIGINS_FAILING = Metric("origins_failing", "Active origins whose last visit did not end well.")
ORIGINS_NEVER = Metric("origins_never_visited", "Active origins without a visit.")
ORIGINS_DUE = Metric("origins_due", "The backlog: active origins that are due, also those just added.")
ORIGINS_LONGEST = Metric("origins_due_longest_seconds", "How long an origin has been due at most, in whole days.")
TABLE_FILES = Metric("table_files", "Data files of a table's current state.", ("table",))
TABLE_BYTES = Metric("table_bytes", "Bytes of the files of a table's current state.", ("table",))
TABLE_ROWS = Metric("table_rows", "Rows of a table, without deleted ones.", ("table",))
COMPACTION_GAIN = Metric("compaction_gain_bytes", "Bytes that compacting a table would free, by estimate.", ("table",))
COMPACTION_OVERDUE = Metric("compaction_overdue_buckets", "Buckets that `pipeline maintain` would compact.", ("table",))
COMPACTION_OVERDUE_BYTES = Metric("compaction_overdue_bytes", "Bytes that it would rewrite for that.", ("table",))
STORAGE_FREE = Metric("storage_free_bytes", "Free where the archive is: its disk, or HDFS with all copies.")
STORAGE_SIZE = Metric("storage_size_bytes", "Size of where the archive is: its disk, or HDFS with all copies.")

OF_A_RUN = (
    RUN_STARTED, RUN_DUE, RUN_VISITS, RUN_ERRORS, RUN_HOSTS, RUN_OBJECTS, RUN_RECEIVED, RUN_STAGES, RUN_FAILURES,
    SCRATCH_FREE, SCRATCH_SIZE,
)  # fmt: skip
"""At the endpoint, while a run lasts."""

Command = Literal["nightly", "backfill", "maintain", "compact", "backfill_job"]

RUNS: tuple[Command, ...] = ("nightly", "backfill")
"""Those that have loads to follow."""

ENDINGS: Mapping[Command, tuple[Metric, Metric]] = {
    "nightly": (NIGHTLY_ENDED, NIGHTLY_EXIT_CODE),
    "backfill": (BACKFILL_ENDED, BACKFILL_EXIT_CODE),
    "maintain": (MAINTAIN_ENDED, MAINTAIN_EXIT_CODE),
    "compact": (COMPACT_ENDED, COMPACT_EXIT_CODE),
    "backfill_job": (BACKFILL_JOB_ENDED, BACKFILL_JOB_EXIT_CODE),
}
"""Delivered when one of these commands ends, with those of the archive: when, and its exit code."""

OF_A_COPY = (COPY_COMPLETED, COPY_NIGHT)
"""Delivered when a copy is complete, alone: a copy that fails leaves them as they are, so they get old."""

OF_THE_END = (*(metric for pair in ENDINGS.values() for metric in pair), *OF_A_COPY)
"""Of all that is delivered when a command ends, what is not about the archive."""

OF_THE_ARCHIVE = (
    COLLECTED, NIGHT_DATE, NIGHT_COMPLETED, NIGHT_VISITS, NIGHT_ERRORS, NIGHT_HOSTS, NIGHT_HOST_SECONDS,
    NIGHT_OBJECTS, NIGHT_RECEIVED,
    NIGHT_RAW, NIGHT_STORED, NIGHT_FILES, NIGHT_STAGES, NIGHT_DAMAGED, NIGHT_LEFT_OUT, NIGHTS, LOADS_UNFINISHED,
    LANDING_FILES, LANDING_BYTES, LEASE_HELD, LEASE_AGE, SIGNALLED_VISITS, CHANGED_VISITS,
    ORIGINS_FRESH, ORIGINS_FAILING, ORIGINS_NEVER, ORIGINS_DUE,
    ORIGINS_LONGEST, TABLE_FILES, TABLE_BYTES, TABLE_ROWS, COMPACTION_GAIN, COMPACTION_OVERDUE,
    COMPACTION_OVERDUE_BYTES, SCRATCH_FREE, SCRATCH_SIZE, STORAGE_FREE, STORAGE_SIZE,
)  # fmt: skip
"""Known at any time, without a run: ``pipeline metrics`` prints them."""

OF_A_MACHINE = (SCRATCH_FREE, SCRATCH_SIZE)
"""Of those, what is about the machine that looks; all others are the same wherever they are found."""
