"""Rows of a data frame in files, with values that do not depend on this machine's time zone."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import PySparkException
from pyspark.sql import Row
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import ArrayType, DataType, MapType, StructType, TimestampType

from pipeline.errors import UsageError

BATCH_ROWS = 8192
BATCH_BYTES = 64 << 20
"""What a Parquet row group holds before it is written; one row may be larger."""


class CannotWriteRows(UsageError):
    """These columns cannot be written in this format."""

    def __init__(self, format_: str, why: str) -> None:
        super().__init__(format_, why)
        self.format, self.why = format_, why

    def __str__(self) -> str:
        return f"the result cannot be written as {self.format}: {self.why}"


def check_unique(columns: Sequence[str], format_: str) -> None:
    """Make sure that no two columns share a name, for formats in which one of them would be lost.

    Raises:
        CannotWriteRows: two do.
    """
    doubled = [name for name, count in Counter(columns).items() if count > 1]
    if doubled:
        raise CannotWriteRows(format_, f"more than one column is named {', '.join(doubled)}; name them apart with AS")


def exact(row: Row, schema: StructType) -> tuple[Any, ...]:
    """A row's values: structs as dictionaries, times with their time zone, UTC."""
    return tuple(_exact(value, field.dataType) for value, field in zip(row, schema.fields, strict=True))


def _exact(value: Any, type_: DataType) -> Any:  # noqa: ANN401 - any value of a row
    if value is None:
        return None
    match type_:
        case TimestampType():  # PySpark returns local time, without saying so
            return value.astimezone(UTC)
        case StructType():
            return {field.name: _exact(inner, field.dataType) for inner, field in zip(value, type_.fields, strict=True)}
        case ArrayType():
            return [_exact(each, type_.elementType) for each in value]
        case MapType():
            keys = (key if isinstance(key, tuple) else _exact(key, type_.keyType) for key in value)
            return dict(zip(keys, (_exact(each, type_.valueType) for each in value.values()), strict=True))
    return value


def write_json(rows: Iterable[Row], schema: StructType, to: IO[bytes], plain: Callable[[object], object]) -> int:
    """Write one JSON array, a row per line; return the number of rows.

    Args:
        plain: turns a value into what JSON has a word for.
    """
    count = 0
    to.write(b"[")
    for row in rows:
        value = plain(dict(zip(schema.names, exact(row, schema), strict=True)))
        to.write((",\n" if count else "\n").encode() + json.dumps(value).encode())
        count += 1
    to.write(b"\n]\n" if count else b"]\n")
    return count


def write_csv(rows: Iterable[Row], schema: StructType, to: IO[bytes], plain: Callable[[object], object]) -> int:
    """Write a header and a line per row; return the number of rows. Null is empty, and nested values are JSON.

    Args:
        plain: turns a value into what JSON has a word for.
    """
    count = 0
    text = io.TextIOWrapper(to, "utf-8", errors="backslashreplace", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(schema.names)
        for row in rows:
            writer.writerow([_csv_cell(plain(value)) for value in exact(row, schema)])
            count += 1
    finally:
        text.detach()
    return count


def _csv_cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def write_parquet(rows: Iterable[Row], schema: StructType, to: IO[bytes]) -> int:
    """Write a Parquet file with the types of the frame; return the number of rows.

    Raises:
        CannotWriteRows: a column has a type that Arrow lacks.
    """
    try:
        arrow = to_arrow_schema(schema)
    except PySparkException as error:
        raise CannotWriteRows("parquet", f"{error}; cast the column") from None
    count = 0
    with pq.ParquetWriter(to, arrow, compression="zstd") as writer:
        for batch in _batches(rows):
            values = [exact(row, schema) for row in batch]
            columns = [
                pa.array(column, field.type) for column, field in zip(zip(*values, strict=True), arrow, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=arrow))
            count += len(batch)
    return count


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size_bytes = 0
    for row in rows:
        batch.append(row)
        size_bytes += sum(len(value) for value in row if isinstance(value, str | bytes | bytearray))
        if len(batch) >= BATCH_ROWS or size_bytes >= BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
