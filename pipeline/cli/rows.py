"""Rows of a data frame on standard output or in a file: as text for people, as JSON, CSV or Parquet for programs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

from pyspark.sql import DataFrame, Row

from pipeline.cli.output import Format, Output, jsonable
from pipeline.cli.places import place
from pipeline.cli.query_progress import query_progress
from pipeline.read.submit.exact_rows import check_names, exact, write_csv, write_json, write_parquet
from pipeline.tables.content_plan import content_stays


def show_rows(output: Output, frame: DataFrame, limit: int | None, *, text_limit: int, to: Path | None = None) -> None:
    """Run a query and write its rows in the format of ``output``.

    Text holds ``text_limit`` rows at most, other formats all rows, unless there is a ``limit``; whoever gets fewer rows
    than there are is told so. Other formats than text are streamed: this process holds the rows of one of Spark's
    tasks.

    Args:
        to: a file, which appears, or is replaced, once it is complete; None for standard output.

    Raises:
        CannotWriteRows: the format has no place for these columns.
    """
    most = limit or (text_limit if output.format == "text" else None)
    check_names(frame.schema, output.format)
    shown = frame if most is None else frame.limit(most + 1)
    with utc_clock():
        with content_stays(shown), query_progress(frame.sparkSession, output.messages):
            rows = _Counted(shown.collect() if output.format == "text" else shown.toLocalIterator(), most)
            if output.format != "text":
                with place(to) as file:
                    _write(rows, frame, output.format, file)
        if output.format == "text":  # on a terminal, after the progress has gone from it
            output.table(None, frame.columns, [exact(row, frame.schema) for row in rows])
    if rows.were_cut:
        sentence = f"The first {most:,} rows; see more with --limit"
        output.say(sentence) if output.format == "text" else output.note(sentence)
    elif to is not None:
        output.note(f"{rows.count:,} rows written to {to}")


@contextmanager
def utc_clock() -> Iterator[None]:
    """Make UTC the local time of this process while PySpark makes rows.

    PySpark makes times local, and the last hours of the year 9999 have none east of Greenwich: a single such commit
    would end the query.
    """
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        yield
    finally:
        del os.environ["TZ"]
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


class _Counted:
    """Up to ``most`` rows, and whether there were more."""

    def __init__(self, rows: Iterable[Row], most: int | None) -> None:
        self._rows, self._most = iter(rows), most
        self.count, self.were_cut = 0, False

    def __iter__(self) -> Iterator[Row]:
        for row in islice(self._rows, self._most):
            self.count += 1
            yield row
        self.were_cut = self._most is not None and next(self._rows, None) is not None


def _write(rows: Iterable[Row], frame: DataFrame, format_: Format, to: IO[bytes]) -> None:
    match format_:
        case "csv":
            write_csv(rows, frame.schema, to, jsonable)
        case "parquet":
            write_parquet(rows, frame.schema, to)
        case _:
            write_json(rows, frame.schema, to, jsonable)
