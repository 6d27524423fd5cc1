"""Rows of a data frame in files, with values that do not depend on this machine's time zone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import PySparkException
from pyspark.sql import Row
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import ArrayType, DataType, MapType, StructType, TimestampType, VariantType

from pipeline.model.errors import UsageError
from pipeline.read.submit.value_files import Plain, write_csv_values, write_json_values

BATCH_ROWS = 8192
BATCH_BYTES = 64 << 20
"""What a Parquet row group holds before it is written; one row may be larger."""

_BY_NAME = ("json", "parquet")
"""Formats in which a value is found by its column's name alone."""


class CannotWriteRows(UsageError):
    """These columns cannot be written in this format."""

    def __init__(self, format_: str, why: str) -> None:
        super().__init__(format_, why)
        self.format, self.why = format_, why

    def __str__(self) -> str:
        return f"the result cannot be written as {self.format}: {self.why}"


def check_names(schema: StructType, format_: str) -> None:
    """Make sure that no value is lost because another has the same name.

    Raises:
        CannotWriteRows: two columns, in formats without places for both, or two fields of a struct share a name; a
            map's keys are no single values, of which text could be the same for two; or a value has a type that the
            format lacks.
    """
    if format_ in _BY_NAME:
        _check_unique(schema, "column", format_)
    for field in schema.fields:
        _check_nested(field.dataType, format_)


def _check_nested(type_: DataType, format_: str) -> None:
    match type_:
        case VariantType() if format_ == "parquet":
            raise CannotWriteRows(format_, "a value is a VARIANT; use to_json")
        case StructType():
            _check_unique(type_, "field of a struct", format_)
            inner = [field.dataType for field in type_.fields]
        case ArrayType():
            inner = [type_.elementType]
        case MapType():
            if isinstance(type_.keyType, StructType | ArrayType):
                raise CannotWriteRows(format_, "a map has keys of several values; turn it into an array: map_entries")
            inner = [type_.valueType]
        case _:
            inner = []
    for each in inner:
        _check_nested(each, format_)


def _check_unique(schema: StructType, what: str, format_: str) -> None:
    doubled = [name for name, count in Counter(schema.names).items() if count > 1]
    if doubled:
        raise CannotWriteRows(format_, f"more than one {what} is named {', '.join(doubled)}; name them apart with AS")


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
            keys = (_exact(key, type_.keyType) for key in value)
            return dict(zip(keys, (_exact(each, type_.valueType) for each in value.values()), strict=True))
    return value


def write_json(rows: Iterable[Row], schema: StructType, to: IO[bytes], plain: Plain) -> int:
    """Write one JSON array, a row per line; return the number of rows.

    Args:
        plain: turns a value into what JSON has a word for.
    """
    return write_json_values(schema.names, (exact(row, schema) for row in rows), to, plain)


def write_csv(rows: Iterable[Row], schema: StructType, to: IO[bytes], plain: Plain) -> int:
    """Write a header and a line per row, as ``write_csv_values`` does; return the number of rows.

    Args:
        plain: turns a value into what JSON has a word for.
    """
    return write_csv_values(schema.names, (exact(row, schema) for row in rows), to, plain)


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
