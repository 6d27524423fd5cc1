"""This process's JVM, before there is a session in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark import SparkConf, SparkContext

JavaObject = Any
"""Proxy that py4j makes for any object of the JVM; it has no static type."""


def started_jvm(conf: Mapping[str, str]) -> JavaObject:
    """The JVM, started with these settings unless it runs; they stand on its command line.

    A session that is opened later runs in it.
    """
    wanted = SparkConf(loadDefaults=False)
    wanted.setAll(list(conf.items()))
    SparkContext._ensure_initialized(conf=wanted)
    return SparkContext._jvm


def java_class(jvm: JavaObject, name: str) -> JavaObject:
    """A class by its full name, with ``$`` before names of inner ones."""
    return getattr(jvm, name)


def scala_object(jvm: JavaObject, name: str) -> JavaObject:
    """A Scala object by its full name without the last ``$``."""
    return getattr(java_class(jvm, f"{name}$"), "MODULE$")


def java_array(jvm: JavaObject, class_name: str, *members: JavaObject) -> JavaObject:
    """An array, as methods with a variable number of arguments take it."""
    gateway = SparkContext._gateway
    assert gateway is not None  # the JVM runs
    array = gateway.new_array(java_class(jvm, class_name), len(members))
    for index, member in enumerate(members):
        array[index] = member
    return array


def java_set(jvm: JavaObject, *members: str) -> JavaObject:
    """A set of strings."""
    made = java_class(jvm, "java.util.HashSet")()
    for member in members:
        made.add(member)
    return made
