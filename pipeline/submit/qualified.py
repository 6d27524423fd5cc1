"""Which tables a query names, through the views of a night or past them."""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.sql import SparkSession

from pipeline.errors import UsageError
from pipeline.model.tables import BY_NAME, NAMESPACE
from pipeline.submit.parsed import parts, strings
from pipeline.tables.tombstones import hidden_now


class PastTheViews(UsageError):
    """A query names a table by its whole name while rows of it were taken down and are still in the files."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"{self.name} can not be read by its whole name now: something was taken down and is still in files. Use "
            "the table's name alone, or wait until `pipeline takedown` or `maintain` has removed it"
        )


def check_names(spark: SparkSession, query: str) -> None:
    """See to it that a query reads the archive's tables through their views only, while that makes a difference.

    Raises:
        PastTheViews: it does not.
        NotUnderstood: whether it does is not known.
        ParseException: it is no SQL.
    """
    if not hidden_now(spark):
        return
    for name in _relations(spark, query):
        if NAMESPACE in (above.lower() for above in name[:-1]):
            raise PastTheViews(".".join(name))


def tables_read(spark: SparkSession, query: str) -> frozenset[str]:
    """The archive's tables that a query may read; also such as only share their name with what it reads.

    Raises:
        NotUnderstood, ParseException: as above.
    """
    return frozenset(part.lower() for name in _relations(spark, query) for part in name) & BY_NAME.keys()


def _relations(spark: SparkSession, query: str) -> Iterator[list[str]]:
    return (
        strings(part.java.multipartIdentifier()) for part in parts(spark, query) if part.kind == "UnresolvedRelation"
    )
