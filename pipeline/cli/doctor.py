"""``pipeline doctor``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import click
from pyspark.sql import SparkSession

from pipeline.cli.common import Context, command_options, today
from pipeline.context.run import hold
from pipeline.maintain.doctor.examine import Patient, Spark, examine
from pipeline.maintain.doctor.finding import Finding, Level, exit_code_of
from pipeline.maintain.doctor.table_problems import refused_urls, table_problems
from pipeline.maintain.future_nights import retire_nights
from pipeline.model.errors import UsageError
from pipeline.model.layout import LEASE, newest_possible
from pipeline.night.seal import nights
from pipeline.read.inventory.record import keep_record
from pipeline.tables.doubles import find_doubles, mend_doubles
from pipeline.tables.failures import plain_failures

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mended:
    """Deleted duplicate rows by table, and retired future nights."""

    doubles: dict[str, int]
    nights: tuple[date, ...]


@click.command()
@click.option("--quick", is_flag=True, help="Only checks that need no Spark.")
@click.option("--mend", is_flag=True, help="First fix duplicate keys and future nights.")
@command_options
def doctor(context: Context, quick: bool, mend: bool) -> int:
    """Check this machine, the storage and the archive, and say what to do.

    Exit codes: 0 no failure, warnings allowed; else 3 stored data, before 5 machine or storage, before 2 configuration.
    """
    if quick and mend:
        raise UsageError("--mend needs Spark; omit --quick")
    mended = _mend(context) if mend else Mended({}, ())
    spark = None if quick else _spark(context)
    patient = Patient(context.config, context.storage, os.environ.get("JAVA_HOME"), LEASE, spark, today())
    findings = list(examine(patient))
    code = exit_code_of(findings)
    if not context.output.result({"findings": findings, "mended": mended, "exit_code": int(code)}):
        for table, rows in mended.doubles.items():
            context.output.say(f"{table}: deleted {rows:,} duplicate rows")
        for night in mended.nights:
            context.output.say(f"retired the future night {night}")
        _show(context, findings)
    return code


def _spark(context: Context) -> Spark:
    """One session, started by the first check."""
    where, session = context.storage.root_uri, context.spark_for_metadata

    def plainly(look: Callable[[SparkSession], T]) -> Callable[[], T]:
        def looked() -> T:
            with plain_failures(where):
                return look(session())

        return looked

    return Spark(
        tables=lambda buckets: table_problems(session(), buckets, where),
        doubles=plainly(find_doubles),
        refused_urls=plainly(refused_urls),
    )


def _mend(context: Context) -> Mended:
    """Fix what ``--mend`` promises, holding the archive."""
    context.archive()
    with hold(context, "doctor") as run:
        rows = mend_doubles(run.writer())
        gone = tuple(night for night in nights(run.spark()) if night > newest_possible(today()))
        retire_nights(run.writer(), gone, time.time())
        keep_record(context.storage)
        return Mended(rows, gone)


def _show(context: Context, findings: list[Finding]) -> None:
    columns = ("check", "result", "found", "what to do")
    context.output.table(None, columns, [(f.check, f.level.value, f.found, f.advice) for f in findings])
    worst = sum(finding.level is Level.FAILURE for finding in findings)
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    context.output.say(f"failures: {worst}, warnings: {warnings}")
