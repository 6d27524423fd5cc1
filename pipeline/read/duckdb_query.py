"""SQL over tables of a night in this process, by DuckDB: it gets the columns that a query names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import pyarrow as pa
import sqlglot
from sqlglot import exp

from pipeline.model.errors import PipelineError, UsageError
from pipeline.model.tables import BY_NAME, shown_columns

Load = Callable[[str, Sequence[str]], Iterable[pa.RecordBatch]]
"""The rows of a table, some of its columns."""


class DuckDBMissing(UsageError):
    """DuckDB is not installed."""

    def __str__(self) -> str:
        return (
            "SQL without Spark needs DuckDB: install this package with its extra [duckdb], or ask Spark with "
            "archive.sql(...).toPandas()"
        )


_READING = frozenset({"SELECT", "EXPLAIN", "MULTI"})
"""Kinds of DuckDB's statements that return rows; a PIVOT is several in one."""


def query(text: str, load: Load) -> pa.Table:
    """The rows of a query in DuckDB's dialect. Its tables are copied into DuckDB, which spills to disk if it must.

    Times are in UTC, without a zone.

    Raises:
        DuckDBMissing: it is not installed.
        UsageError: DuckDB refuses the query.
        PipelineError: the error of ``load``.
    """
    try:
        import duckdb  # noqa: PLC0415 - an extra
    except ImportError:
        raise DuckDBMissing from None
    failures: list[PipelineError] = []
    try:
        with duckdb.connect() as connection:
            kinds = {statement.type.name for statement in connection.extract_statements(text)}
            if not kinds <= _READING:
                raise UsageError("the query returns no rows; give a SELECT")
            for table, columns in columns_read(text).items():
                schema = pa.schema([_plain(BY_NAME[table].arrow_schema.field(name)) for name in columns])
                batches = (batch.cast(schema) for batch in _noted(load(table, columns), failures))
                connection.register("incoming", pa.RecordBatchReader.from_batches(schema, batches))
                connection.table("incoming").create(table)
                connection.unregister("incoming")
            return connection.sql(text).to_arrow_table()
    except duckdb.Error as error:
        if failures:  # DuckDB knows only their words
            raise failures[0] from None
        raise UsageError(f"DuckDB refuses the query: {error}") from None


def _noted(batches: Iterable[pa.RecordBatch], failures: list[PipelineError]) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except PipelineError as error:
        failures.append(error)
        raise


def _plain(field: pa.Field) -> pa.Field:
    """Times without their zone, UTC: DuckDB computes with others only if it can load an extension."""
    return field.with_type(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field


def columns_read(text: str) -> dict[str, list[str]]:
    """The tables of the archive that a query may read, with the columns that it may need, in the table's order.

    All columns, unless the query names each one that it uses.

    Raises:
        UsageError: the query cannot be parsed, or is no single query.
    """
    try:
        parsed = sqlglot.parse(text, read="duckdb")
    except sqlglot.errors.SqlglotError as error:
        raise UsageError(f"the query cannot be read: {str(error).partition(chr(10))[0]}") from None
    statements = [statement for statement in parsed if statement is not None]
    if len(statements) != 1:
        raise UsageError(f"give one query, not {len(statements)}")
    (statement,) = statements
    tables = {table.name.lower() for table in statement.find_all(exp.Table)} & BY_NAME.keys()
    named = _names(statement)
    return {
        table: [column for column in shown_columns(BY_NAME[table]) if named is None or column in named]
        or ["bucket"]  # of a query that only counts rows
        for table in sorted(tables)
    }


def _names(statement: exp.Expr) -> Collection[str] | None:
    """Every name in a query in lower case, None if it may read columns that it does not name."""
    if not isinstance(statement, exp.Query) or any(map(_is_open, statement.walk())):
        return None
    rows = {table.alias_or_name.lower() for table in statement.find_all(exp.Table)}
    columns = {column.name.lower() for column in statement.find_all(exp.Column)}
    return None if columns & rows else {name.name.lower() for name in statement.find_all(exp.Identifier)}


def _is_open(part: exp.Expr) -> bool:
    """Whether a part of a query finds columns by their places, by a pattern, or takes all."""
    match part:
        case exp.Star():
            return not isinstance(part.parent, exp.Count)
        case exp.TableAlias():
            return bool(part.columns) and isinstance(part.parent, exp.Table)
        case exp.Join():
            return bool(part.args.get("method"))  # NATURAL
        case exp.Anonymous():
            return part.name.lower() == "columns"
    return isinstance(part, exp.Columns | exp.Pivot | exp.PositionalColumn)
