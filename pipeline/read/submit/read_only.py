"""Read-only statements, recognised by the plan that Spark's own parser makes of them.

Anything unknown is refused, so new statements of a later Spark are refused until they are listed here.
"""

from __future__ import annotations

import re

from pyspark.sql import SparkSession

from pipeline.model.errors import UsageError
from pipeline.model.tables import NAMESPACE
from pipeline.read.functions import FUNCTIONS
from pipeline.read.submit.functions import ALLOWED, PLACES, WITHOUT_OPTIONS
from pipeline.read.submit.parsed import Part, parts, strings
from pipeline.read.submit.results import NAMESPACE as RESULTS
from pipeline.tables.session import CATALOG


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_QUERY = _words("""
    Aggregate AsOfJoin Deduplicate Distinct Except Filter Generate GlobalLimit Intersect Join LateralJoin LocalLimit
    LocalRelation Offset OneRowRelation Pivot PipeOperator Project Range RebalancePartitions RelationTimeTravel
    Repartition RepartitionByExpression Sample Sort SubqueryAlias Tail Union Unpivot UnresolvedHaving UnresolvedHint
    UnresolvedInlineTable UnresolvedRelation UnresolvedSubqueryColumnAliases UnresolvedTVFAliases
    UnresolvedTableValuedFunction UnresolvedWith Window WithWindowDefinition
""")
"""Parts of the plan of a query."""

_SHOW = _words("""
    CurrentNamespace DescribeColumn DescribeFunction DescribeNamespace DescribeProcedureCommand DescribeQueryCommand
    DescribeRelation DescribeRelationJsonCommand ExplainCommand ResolvedNamespace ShowCatalogsCommand ShowColumns
    ShowCreateTable ShowCurrentNamespaceCommand ShowFunctions ShowIcebergViews ShowNamespacesCommand ShowPartitions
    ShowProceduresCommand ShowTableProperties ShowTables ShowTablesExtended ShowViews UnresolvedFunctionName
    UnresolvedIdentifier UnresolvedNamespace UnresolvedTable UnresolvedTableOrView
""")
"""Parts of the plan of SHOW, DESCRIBE and EXPLAIN."""

_READ = _QUERY | _SHOW

_NAMES = {
    "ResolvedNamespace": "namespace",
    "UnresolvedIdentifier": "nameParts",
    "UnresolvedNamespace": "multipartIdentifier",
    "UnresolvedRelation": "multipartIdentifier",
    "UnresolvedTable": "multipartIdentifier",
    "UnresolvedTableOrView": "multipartIdentifier",
}
"""Parts that name something in a catalog, and the method that returns its name."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
"""A name, such as ``tag_night-2026-11-01``: with dots and slashes it could be a path out of the archive."""

_SOURCES = frozenset({CATALOG, NAMESPACE, RESULTS})


class NotReadOnly(UsageError):
    """The statement does something other than read the archive."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return (
            f"only statements that read the archive are run here, and this one has {self.what}. "
            "Use SELECT, WITH, VALUES, SHOW, DESCRIBE, or EXPLAIN of a query"
        )


def check_read_only(spark: SparkSession, statement: str) -> list[Part]:
    """Check a statement without running it; return the parts of its plan.

    Raises:
        NotReadOnly: it writes, changes settings, starts programs or Java methods, or reads outside the archive.
        NotUnderstood: its effect is unknown.
        pyspark.errors.ParseException: it is not SQL.
    """
    found: list[Part] = []
    for part in parts(spark, statement):
        _check(part)
        found.append(part)
    return found


def _check(part: Part) -> None:
    if (part.is_plan and part.kind not in _READ) or part.kind == "ExpressionWithUnresolvedIdentifier":
        raise NotReadOnly(part.kind)
    if part.kind in _NAMES:
        _check_source(strings(getattr(part.java, _NAMES[part.kind])()))
    if part.kind == "UnresolvedFunction":
        _check_function(strings(part.java.nameParts()), part.java.arguments().size())
    if part.kind == "UnresolvedTableValuedFunction":
        _check_function(strings(part.java.name()), part.java.functionArgs().size())
    if part.kind == "UnresolvedGenerator":
        _check_function([part.java.name().unquotedString()], part.java.children().size())
    if part.kind == "UnresolvedFunctionName":
        _check_place(strings(part.java.multipartIdentifier()))


def _check_source(name: list[str]) -> None:
    inside = len(name) < 2 or name[0].lower() in _SOURCES
    if not inside or not all(_PLAIN.fullmatch(part) for part in name):
        raise NotReadOnly(f"a table outside it, {'.'.join(name)}")


def _check_function(name: list[str], arguments: int) -> None:
    _check_place(name)
    function = name[-1].lower()
    if function not in ALLOWED | FUNCTIONS:
        raise NotReadOnly(f"the function {function}, which is not known to compute only from its arguments")
    if arguments > WITHOUT_OPTIONS.get(function, arguments):
        raise NotReadOnly(f"options of the function {function}, which may name files and Java classes")


def _check_place(name: list[str]) -> None:
    if tuple(part.lower() for part in name[:-1]) not in PLACES:
        raise NotReadOnly(f"a function that is not Spark's own, {'.'.join(name)}")
