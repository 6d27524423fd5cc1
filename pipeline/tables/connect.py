"""Spark Connect: a server in this process's JVM for clients on this machine, and sessions of such servers."""

from __future__ import annotations

import atexit
from collections.abc import Collection

from pyspark.sql import SparkSession

from pipeline.model.errors import UsageError
from pipeline.model.redact import without_secrets
from pipeline.tables.iceberg import jvm_of
from pipeline.tables.masters.jvm import java_class, scala_object
from pipeline.tables.session import DEFAULT_CATALOG, WAREHOUSE_SETTING, warehouse_of
from pipeline.tables.settings import SparkSettings

TOKEN = "SPARK_CONNECT_AUTHENTICATE_TOKEN"  # noqa: S105 - a name
"""The environment variable from which the JVM takes what clients must say. On its command line all could read it."""

HOST = "127.0.0.1"

SHARED_VIEWS = "night"
"""The database of the views that all sessions of a server see."""

_SERVICE = "org.apache.spark.sql.connect.service.SparkConnectService"
_CATALYST = "org.apache.spark.sql.catalyst"


class ConnectMissing(UsageError):
    """What a client of Spark Connect needs is not installed."""

    def __str__(self) -> str:
        return "a session of Spark Connect needs gRPC: install this package with its extra [connect]"


class NotServed(UsageError):
    """A Spark Connect server has another archive, or none."""

    def __init__(self, location: str, found: str | None) -> None:
        super().__init__(location, found)
        self.location, self.found = location, found

    def __str__(self) -> str:
        has = "no archive" if self.found is None else f"the tables at {without_secrets(self.found)}"
        return (
            f"this Spark Connect server has {has}; start one with `pipeline connect --archive {self.location}` and use "
            "its address"
        )


def to_serve(settings: SparkSettings, port: int) -> SparkSettings:
    """Settings of a Spark in which a server is to be started, on the loopback interface only.

    Its sessions have no default catalog: what is in the tables but is not to be seen has no short name.

    Args:
        port: 0 for any that is free.
    """
    conf = {
        "spark.connect.session.manager.defaultSessionTimeout": "24h",  # a notebook may be left alone over night
        **settings.conf,
        "spark.connect.grpc.binding.address": HOST,
        "spark.connect.grpc.binding.port": str(port),
        "spark.sql.globalTempDatabase": SHARED_VIEWS,
        DEFAULT_CATALOG: "spark_catalog",
    }
    return settings.model_copy(update={"conf": conf})


def share_functions(spark: SparkSession, names: Collection[str]) -> None:
    """Give functions that were registered in a session to all sessions that this Spark opens later."""
    jvm, session = jvm_of(spark), spark._jsparkSession
    registry = session.sessionState().functionRegistry()
    for name in sorted(names):
        id_ = java_class(jvm, f"{_CATALYST}.FunctionIdentifier")(name)
        described, builder = registry.lookupFunction(id_).get(), registry.lookupFunctionBuilder(id_).get()
        session.extensions().injectFunction(java_class(jvm, "scala.Tuple3")(id_, described, builder))


def start_server(spark: SparkSession) -> int:
    """Serve new sessions beside this one to whoever has the token; return the port."""
    service = scala_object(jvm_of(spark), _SERVICE)
    service.start(spark.sparkContext._jsc.sc())
    return int(service.localPort())


def connected(address: str, root_uri: str) -> SparkSession:
    """A new session of a server.

    Args:
        address: such as ``sc://localhost:15002``.

    Raises:
        ConnectMissing: the packages that this needs are not installed.
        NotServed: see ``check_served``.
    """
    try:
        session = SparkSession.builder.remote(address).create()
    except ImportError:
        raise ConnectMissing from None
    atexit.register(session.client.close)  # its finalizer would close it too late, and wait for ever (SPARK-55620)
    return check_served(session, root_uri)


def check_served(session: SparkSession, root_uri: str) -> SparkSession:
    """The session of a server, which must have the archive.

    Raises:
        NotServed: it has another one, or none.
    """
    found = session.conf.get(WAREHOUSE_SETTING, None)
    if found != warehouse_of(root_uri):
        raise NotServed(root_uri, found)
    return session
