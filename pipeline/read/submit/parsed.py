"""The plan that Spark's own parser makes of a statement, with all its parts, wherever they are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from pyspark.sql import SparkSession

from pipeline.model.errors import UsageError
from pipeline.tables.iceberg import JavaObject, is_java, jvm_of


class NotUnderstood(UsageError):
    """A statement's plan holds an object of an unknown class, which may hold further parts."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"the statement was not run, because its plan holds something unknown: {self.what}"


class _Sort(Enum):
    """The sort of an object in a plan, in the order of the tests."""

    PLAN = ("org.apache.spark.sql.catalyst.plans.logical.LogicalPlan",)
    EXPRESSION = ("org.apache.spark.sql.catalyst.expressions.Expression",)
    HOLDS_NO_PART = (
        "java.util.UUID",
        "org.apache.spark.sql.catalyst.InternalRow",
        "org.apache.spark.sql.connector.catalog.CatalogPlugin",
        "org.apache.spark.sql.types.DataType",
        "org.apache.spark.sql.types.Metadata",
        "org.apache.spark.sql.util.CaseInsensitiveStringMap",
        "org.apache.spark.unsafe.types.UTF8String",
        "scala.Enumeration$Value",
    )
    COLLECTION = ("scala.collection.Iterable",)
    PRODUCT = ("scala.Product",)


@dataclass(frozen=True, slots=True)
class Part:
    """An operator or expression of the plan; ``kind`` is its class name without the package."""

    kind: str
    is_plan: bool
    java: JavaObject


def parts(spark: SparkSession, statement: str) -> Iterator[Part]:
    """All operators and expressions of a statement, each before its own parts. None of them is run.

    Raises:
        NotUnderstood: one holds an object of an unknown class.
        pyspark.errors.ParseException: the statement is not SQL.
    """
    return parts_of(spark, spark._jsparkSession.sessionState().sqlParser().parsePlan(statement))


def parts_of(spark: SparkSession, root: JavaObject) -> Iterator[Part]:
    """Like ``parts``, for a Java object."""
    seen = getattr(jvm_of(spark), "java.util.IdentityHashMap")()
    sort_of = _sorting(spark)
    waiting = [root]
    while waiting:
        thing = waiting.pop()
        if not is_java(thing) or seen.put(thing, True):
            continue
        sort = sort_of(thing)
        if sort is _Sort.COLLECTION:
            waiting += _all(thing.iterator())
        elif sort is _Sort.PRODUCT:
            waiting += _all(thing.productIterator())
        elif sort is not _Sort.HOLDS_NO_PART:
            part = Part(_short(thing), sort is _Sort.PLAN, thing)
            yield part
            if part.kind != "Literal":
                waiting += (thing.children(), thing.innerChildren(), *_all(thing.productIterator()))


def strings(sequence: JavaObject) -> list[str]:
    """A Scala sequence of strings as a list."""
    return [str(element) for element in _all(sequence.iterator())]


def _sorting(spark: SparkSession) -> Callable[[JavaObject], _Sort]:
    """A function that returns an object's sort, and tests each class once."""
    is_a = getattr(jvm_of(spark), "py4j.reflection.TypeUtil").isInstanceOf
    known: dict[str, _Sort] = {}

    def sort_of(thing: JavaObject) -> _Sort:
        name = str(thing.getClass().getName())
        if name not in known:
            sorts = [sort for sort in _Sort if any(is_a(class_, thing) for class_ in sort.value)]
            if not sorts:
                raise NotUnderstood(name)
            known[name] = sorts[0]
        return known[name]

    return sort_of


def _short(thing: JavaObject) -> str:
    return str(thing.getClass().getSimpleName()).rstrip("$")


def _all(iterator: JavaObject) -> Iterator[JavaObject]:
    while iterator.hasNext():
        yield iterator.next()
