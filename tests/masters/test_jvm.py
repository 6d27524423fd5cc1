from __future__ import annotations

from collections import Counter

import pytest
from py4j.java_gateway import JVMView  # type: ignore[import-untyped]  # py4j has no types
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.tables.masters.jvm import java_class


class Proxy:
    """A JVM that counts how often it is asked for each class."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> str:
        self.asked[name] += 1
        return f"class {name}"


def test_java_is_asked_once_for_a_class() -> None:
    jvm = Proxy()
    for _ in range(3):
        assert java_class(jvm, "java.util.ArrayList") == "class java.util.ArrayList"
    assert jvm.asked == {"java.util.ArrayList": 1}


def test_java_is_not_asked_for_the_classes_of_columns(one_spark: None) -> None:
    """A name that PySpark no longer asks for is of no use, and a new one costs a night some thousand questions."""
    spark = SparkSession.getActiveSession()
    assert spark is not None
    asked: Counter[str] = Counter()
    ask = JVMView.__getattr__

    def counted(view: JVMView, name: str) -> object:
        asked[name] += 1
        return ask(view, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JVMView, "__getattr__", counted)
        spark.range(3).select(F.col("id") + 1, F.coalesce("id", F.lit(2))).where("id > 1").collect()
    assert not asked
