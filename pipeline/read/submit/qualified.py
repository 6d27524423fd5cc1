"""Which tables a query names, through the views of a night or bypassing them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pyspark.sql import SparkSession

from pipeline.model.errors import UsageError
from pipeline.model.tables import FILES, NAMESPACE
from pipeline.read.names import NAMES
from pipeline.read.submit.parsed import Part, strings
from pipeline.tables.tombstones import hidden_now

_LINES = re.compile(rf"{FILES.name}(\.(tag|branch|snapshot_id|at_timestamp)_.*)?$")
"""``files`` below the namespace, at any time; its metadata tables have other names."""


_RELATION = frozenset({"UnresolvedRelation"})
"""The part that names a table of a query."""

_TABLES = _RELATION | {"UnresolvedTable", "UnresolvedTableOrView"}
"""With those after DESCRIBE and the like."""


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


class LinesByTheirFullName(UsageError):
    """A query uses the full name of ``files``, whose stored rows are lines, not a row per path and origin."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"{self.name} is stored as lines that origins share, not as a row per path and origin. Use the name "
            f"{FILES.name} alone; for a past night choose the night of the whole query"
        )


def check_names(spark: SparkSession, query: Iterable[Part]) -> None:
    """Make sure that a query reads ``files``, and the other tables while anything is hidden, only through their views.

    Args:
        query: the parts of its plan.

    Raises:
        PastTheViews, LinesByTheirFullName: it does not.
    """
    hides = bool(hidden_now(spark))
    for name in _named(query, _RELATION):
        words = [part.lower() for part in name]
        if NAMESPACE not in words[:-1]:
            continue
        if hides:
            raise PastTheViews(".".join(name))
        if _LINES.match(".".join(words[words.index(NAMESPACE) + 1 :])):
            raise LinesByTheirFullName(".".join(name))


def tables_read(query: Iterable[Part]) -> frozenset[str]:
    """What a query may read or describe of the archive by a bare name, and names shared with something else in it."""
    return frozenset(part.lower() for name in _named(query, _TABLES) for part in name) & NAMES


def _named(query: Iterable[Part], kinds: frozenset[str]) -> Iterator[list[str]]:
    return (strings(part.java.multipartIdentifier()) for part in query if part.kind in kinds)
