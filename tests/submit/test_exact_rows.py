"""Rows in files: every value, whatever the time zone of the machine."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import Row
from pyspark.sql import types as T

from pipeline.cli.output import jsonable
from pipeline.cli.rows import utc_clock
from pipeline.model.headers import LAST_SECOND
from pipeline.read.submit.exact_rows import (
    BATCH_ROWS,
    CannotWriteRows,
    check_names,
    exact,
    write_csv,
    write_json,
    write_parquet,
)

VARIANTS = [T.VariantType(), T.ArrayType(T.VariantType())]

MOMENT = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
"""In Berlin 02:30, for the first of two times that night."""

SCHEMA = T.StructType(
    [
        T.StructField("when", T.TimestampType()),
        T.StructField("local", T.TimestampNTZType()),
        T.StructField("nested", T.StructType([T.StructField("times", T.ArrayType(T.TimestampType()))])),
        T.StructField("pairs", T.MapType(T.TimestampType(), T.BinaryType())),
        T.StructField("day", T.DateType()),
        T.StructField("price", T.DecimalType(5, 2)),
        T.StructField("wait", T.DayTimeIntervalType()),
        T.StructField("yes", T.BooleanType()),
        T.StructField("text", T.StringType()),
    ]
)


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/St_Johns"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def as_spark_returns(moment: datetime) -> datetime:
    return datetime.fromtimestamp(moment.timestamp())


def values_of(*values: Any) -> Row:
    made: Row = tuple.__new__(Row, values)
    return made


def row() -> Row:
    local = as_spark_returns(MOMENT)
    later = as_spark_returns(MOMENT + timedelta(hours=1))
    nested, pairs = values_of([local, None, later]), {later: bytearray(b"\0")}
    some = (date(2026, 1, 2), Decimal("1.50"), timedelta(seconds=90), True, 'a,"b"\n')
    return values_of(local, datetime(2026, 1, 2), nested, pairs, *some)


def test_times_do_not_depend_on_the_machine(zone: str) -> None:
    later = MOMENT + timedelta(hours=1)
    values = exact(row(), SCHEMA)
    assert values[0] == MOMENT
    assert values[0].tzinfo is UTC
    assert values[1] == datetime(2026, 1, 2)
    assert values[2] == {"times": [MOMENT, None, later]}
    assert values[3] == {later: b"\0"}
    assert exact(values_of(*[None] * len(SCHEMA)), SCHEMA) == (None,) * len(SCHEMA)


def test_the_last_time_of_all_has_a_place_in_every_zone(zone: str) -> None:
    here = time.localtime(0)
    with utc_clock():
        last = T.TimestampType().fromInternal(LAST_SECOND * 10**6)
        assert exact(values_of(last), of("when", T.TimestampType())) == (
            datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        )
    assert time.localtime(0) == here


def test_json_is_one_array_with_a_row_per_line(zone: str) -> None:
    to = io.BytesIO()
    assert write_json([row(), row()], SCHEMA, to, jsonable) == 2
    assert len(to.getvalue().splitlines()) == 4
    found = json.loads(to.getvalue())
    assert found[0] == found[1]
    assert found[0]["when"] == "2026-10-25T00:30:00Z"
    assert found[0]["local"] == "2026-01-02T00:00:00"
    assert found[0]["nested"]["times"] == ["2026-10-25T00:30:00Z", None, "2026-10-25T01:30:00Z"]
    assert found[0]["pairs"] == {"2026-10-25T01:30:00Z": "00"}
    to = io.BytesIO()
    assert write_json([], SCHEMA, to, jsonable) == 0
    assert json.loads(to.getvalue()) == []


def test_csv_has_every_value(zone: str) -> None:
    to = io.BytesIO()
    assert write_csv([row(), values_of(*[None] * len(SCHEMA))], SCHEMA, to, jsonable) == 2
    header, first, empty = csv.reader(io.StringIO(to.getvalue().decode(), newline=""))
    assert header == SCHEMA.names
    found = dict(zip(header, first, strict=True))
    assert (found["when"], found["price"], found["yes"]) == ("2026-10-25T00:30:00Z", "1.50", "true")
    assert json.loads(found["pairs"]) == {"2026-10-25T01:30:00Z": "00"}
    assert found["text"] == 'a,"b"\n'
    assert empty == [""] * len(SCHEMA)


def test_parquet_keeps_types(zone: str) -> None:
    to = io.BytesIO()
    rows = [row()] * (BATCH_ROWS + 1)
    assert write_parquet(rows, SCHEMA, to) == len(rows)
    file = pq.ParquetFile(io.BytesIO(to.getvalue()))
    assert file.num_row_groups == 2
    found = file.read().to_pylist()
    assert len(found) == len(rows)
    assert found[0] == found[-1]
    assert found[0]["when"] == MOMENT
    assert found[0]["nested"] == {"times": [MOMENT, None, MOMENT + timedelta(hours=1)]}
    assert found[0]["pairs"] == [(MOMENT + timedelta(hours=1), b"\0")]
    assert (found[0]["price"], found[0]["wait"]) == (Decimal("1.50"), timedelta(seconds=90))


def test_what_parquet_lacks_is_named() -> None:
    schema = T.StructType([T.StructField("months", T.YearMonthIntervalType())])
    with pytest.raises(CannotWriteRows, match="cast the column"):
        write_parquet([], schema, io.BytesIO())


def of(name: str, type_: T.DataType, *others: T.StructField) -> T.StructType:
    return T.StructType([T.StructField(name, type_), *others])


TEXT = T.StringType()
TWINS = of("a", TEXT, T.StructField("a", TEXT))


def test_no_value_is_lost_silently() -> None:
    check_names(SCHEMA, "json")
    check_names(TWINS, "csv")
    with pytest.raises(CannotWriteRows, match="column is named a; name them apart"):
        check_names(TWINS, "json")


@pytest.mark.parametrize("type_", [TWINS, T.ArrayType(TWINS), T.MapType(TEXT, TWINS), T.MapType(of("a", TEXT), TEXT)])
@pytest.mark.parametrize("format_", ["text", "csv", "json", "parquet"])
def test_no_nested_value_is_lost_silently(type_: T.DataType, format_: str) -> None:
    with pytest.raises(CannotWriteRows, match=r"field of a struct is named a|keys of several values"):
        check_names(of("outer", type_), format_)


@pytest.mark.parametrize("text", ["a\rb", "a\r\nb", "a\nb", "\r\n", "plain"])
def test_a_line_end_in_a_cell_is_no_line_end(text: str) -> None:
    to = io.BytesIO()
    write_csv([values_of(text, "x")] * 2, of("a", TEXT, T.StructField("b", TEXT)), to, jsonable)
    assert to.getvalue().startswith(b"a,b\n")
    assert list(csv.reader(io.StringIO(to.getvalue().decode(), newline=""))) == [["a", "b"], [text, "x"], [text, "x"]]


@pytest.mark.parametrize("type_", VARIANTS, ids=str)
def test_a_variant_has_no_place_in_parquet(type_: T.DataType) -> None:
    schema = T.StructType([T.StructField("v", type_)])
    check_names(schema, "csv")
    with pytest.raises(CannotWriteRows, match="to_json"):
        check_names(schema, "parquet")
