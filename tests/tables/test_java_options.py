"""What Java is started with."""

from __future__ import annotations

from pyspark.sql import SparkSession


def test_java_has_our_options_before_those_of_the_configuration(spark: SparkSession) -> None:
    """Of two that contradict each other it takes the last."""
    jvm = spark._jvm
    assert jvm is not None
    given = list(jvm.java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments())
    ours = ["-XX:-G1UseAdaptiveIHOP", "-XX:InitiatingHeapOccupancyPercent=80"]
    own = given.index("-XX:+UseSerialGC")
    assert [given.index(option) < own for option in ours] == [True, True]
