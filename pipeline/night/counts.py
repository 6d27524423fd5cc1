"""What ``origins`` keeps of all visits: how often an origin changes, what they bring, and whether one is asked for."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from pipeline.model.visit import ENDED_WELL, VisitStatus
from pipeline.night.column_arithmetic import COLUMNS
from pipeline.rules.change_rate import LEAST_NIGHTS, Counts, counts_after
from pipeline.rules.schedule import averaged

_DAY_S = 86_400.0


def counts_of_origin() -> Counts:
    """The counts of a row of ``origins``; 0 where there is none."""
    return Counts(*(F.coalesce(name, F.lit(0.0)) for name in ("changes", "silent", "watched")))


def counted(failures: Column) -> dict[str, Column]:
    """Columns of ``origins`` after ``visit``, a column with the fields of a visit, for rows that have one.

    A visit counts the nights since the one before if both ended well.

    Args:
        failures: those before the visit.
    """
    visit = {
        name: F.col(f"visit.{name}") for name in ("started_at", "status", "objects", "newest_commit", "commit_days")
    }
    well = visit["status"].isin(*ENDED_WELL)
    changed = visit["status"] != str(VisitStatus.UNCHANGED)
    told = F.coalesce(F.col("signalled_at") <= visit["started_at"], F.lit(False))
    since = visit["started_at"].cast("double") - F.col("last_visit").cast("double")
    nights = F.greatest(F.coalesce(since, F.lit(0.0)) / _DAY_S, F.lit(LEAST_NIGHTS))
    before = counts_of_origin()
    after = counts_after(before, nights, changed, told, COLUMNS)
    counts = well & F.col("last_visit").isNotNull() & (failures == 0)
    objects = visit["objects"].cast("double")
    average = F.when(F.col("objects").isNull(), objects).otherwise(averaged(F.col("objects"), objects))
    asked = F.coalesce(F.col("asked_at") > visit["started_at"], F.lit(False))
    brought, known = visit["commit_days"], F.coalesce("commit_days", F.lit(0))
    return {
        "asked_at": F.when(asked, F.col("asked_at")),
        "signalled_at": F.when(well & told, F.lit(None)).otherwise(F.col("signalled_at")),
        "signals": F.when(well & told, F.lit(None)).otherwise(F.col("signals")),
        "changes": F.when(counts, after.changes).otherwise(before.changes),
        "silent": F.when(counts, after.silent).otherwise(before.silent),
        "watched": F.when(counts, after.nights).otherwise(before.nights),
        # A first visit brings all there is, the next ones do not.
        "objects": F.when(counts, average).otherwise(F.col("objects")),
        "newest_commit": F.greatest("newest_commit", visit["newest_commit"]),
        "commit_days": F.when(brought > 0, known + brought).otherwise(F.col("commit_days")),
    }
