"""Statements that read and do nothing else, told from the others by the plan that Spark's own parser makes of them.

What is not known to read is refused, so a statement that a later Spark brings is refused until it is listed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from pyspark.sql import SparkSession

from pipeline.errors import UsageError
from pipeline.model.tables import NAMESPACE
from pipeline.submit.results import NAMESPACE as RESULTS
from pipeline.tables.iceberg import JavaObject
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
    DescribeColumn DescribeFunction DescribeNamespace DescribeProcedureCommand DescribeRelation
    DescribeRelationJsonCommand ShowCatalogsCommand ShowColumns ShowCreateTable ShowCurrentNamespaceCommand
    ShowFunctions ShowIcebergViews ShowNamespacesCommand ShowPartitions ShowProceduresCommand ShowTableProperties
    ShowTables ShowTablesExtended ShowViews
""")
_NAMED = _words("""
    CurrentNamespace ResolvedNamespace UnresolvedFunctionName UnresolvedIdentifier UnresolvedNamespace UnresolvedTable
    UnresolvedTableOrView
""")
"""What a SHOW or DESCRIBE is about."""

_AROUND_A_QUERY = {"DescribeQueryCommand": "plan", "ExplainCommand": "logicalPlan"}
"""Statements that hold another one, and the method that tells it."""

_CALLS_JAVA = frozenset({"java_method", "reflect", "try_reflect"})
_SOURCES = frozenset({CATALOG, NAMESPACE, RESULTS})


class NotReadOnly(UsageError):
    """The statement does something else than to read the archive."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return (
            f"only statements that read the archive are run here, and this one has {self.what}. "
            "Ask with SELECT, WITH, VALUES, SHOW, DESCRIBE, or EXPLAIN of a query"
        )


def check_read_only(spark: SparkSession, statement: str) -> None:
    """Look at a statement without running any of it.

    Raises:
        NotReadOnly: it writes, changes settings, starts programs or Java methods, or reads what is not in the archive.
        pyspark.errors.ParseException: it is no SQL.
    """
    _check(spark._jsparkSession.sessionState().sqlParser().parsePlan(statement))


def _check(plan: JavaObject) -> None:
    kind = _kind(plan)
    if kind in _AROUND_A_QUERY:
        _check(getattr(plan, _AROUND_A_QUERY[kind])())
    elif kind in _SHOW:
        for child in _each(plan.children()):
            if _kind(child) not in _NAMED:
                _refuse(child)
    else:
        _check_query(plan)


def _check_query(plan: JavaObject) -> None:
    kind = _kind(plan)
    if kind not in _QUERY:
        _refuse(plan)
    if kind == "RelationTimeTravel":
        _check_query(plan.relation())
        for expression in _each(plan.timestamp().toList()):
            _check_expression(expression)
    if kind == "UnresolvedRelation":
        _check_source([*_each(plan.multipartIdentifier())])
    if kind == "UnresolvedTableValuedFunction":
        _check_function([*_each(plan.name())])
    for expression in _each(plan.expressions()):
        _check_expression(expression)
    for below in (*_each(plan.children()), *_each(plan.innerChildren())):
        _check_query(below)


def _check_expression(expression: JavaObject) -> None:
    kind = _kind(expression)
    if kind == "ExpressionWithUnresolvedIdentifier":
        _refuse(expression)
    if kind in ("UnresolvedFunction", "UnresolvedGenerator"):
        of_function = kind == "UnresolvedFunction"
        _check_function([*_each(expression.nameParts())] if of_function else [expression.name().funcName()])
    if kind in ("CallMethodViaReflection", "TryReflect"):
        _refuse(expression)
    if _holds_a_plan(expression):
        _check_query(expression.plan())
    for child in _each(expression.children()):
        _check_expression(child)


def _check_source(name: list[str]) -> None:
    inside = len(name) == 1 or name[0].lower() in _SOURCES
    if not inside or any("/" in part for part in name):
        raise NotReadOnly(f"a table outside of it, {'.'.join(name)}")


def _check_function(name: list[str]) -> None:
    if name[-1].lower() in _CALLS_JAVA:
        raise NotReadOnly(f"the function {name[-1]}, which calls Java methods")


def _holds_a_plan(expression: JavaObject) -> bool:
    class_ = expression.getClass()
    while class_ is not None:
        if class_.getSimpleName() == "PlanExpression":
            return True
        class_ = class_.getSuperclass()
    return False


def _refuse(node: JavaObject) -> NoReturn:
    raise NotReadOnly(_kind(node))


def _kind(node: JavaObject) -> str:
    return str(node.getClass().getSimpleName()).rstrip("$")


def _each(sequence: JavaObject) -> Iterator[JavaObject]:
    for index in range(sequence.size()):
        yield sequence.apply(index)
