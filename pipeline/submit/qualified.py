"""Which tables a query names, through the views of a night or bypassing them."""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.sql import SparkSession

from pipeline.errors import UsageError
from pipeline.model.tables import NAMESPACE
from pipeline.read.archive import NAMES
from pipeline.submit.parsed import parts, strings
from pipeline.tables.tombstones import hidden_now


class PastTheViews(UsageError):
    """A query uses a full table name while taken-down rows are still in the files."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"{self.name} cannot be read by its full name now: taken-down rows are still in the files. Use the table's "
            "name alone, or wait until `pipeline takedown` or `maintain` has removed them"
        )


def check_names(spark: SparkSession, query: str) -> None:
    """Make sure that a query reads the archive's tables only through their views, while anything is hidden.

    Raises:
        PastTheViews: it does not.
        NotUnderstood: this is unknown.
        ParseException: the query is not SQL.
    """
    if not hidden_now(spark):
        return
    for name in _relations(spark, query):
        if NAMESPACE in (above.lower() for above in name[:-1]):
            raise PastTheViews(".".join(name))


def tables_read(spark: SparkSession, query: str) -> frozenset[str]:
    """The archive's tables that a query may read, including any that only share a name with something it reads.

    Raises:
        NotUnderstood, ParseException: as above.
    """
    return frozenset(part.lower() for name in _relations(spark, query) for part in name) & NAMES


def _relations(spark: SparkSession, query: str) -> Iterator[list[str]]:
    return (
        strings(part.java.multipartIdentifier()) for part in parts(spark, query) if part.kind == "UnresolvedRelation"
    )
