"""The one Spark session of a process, with the archive as its current catalog."""

from __future__ import annotations

import atexit
import fcntl
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pyspark
from pyspark import SparkContext
from pyspark.sql import SparkSession

from pipeline.model.errors import UsageError
from pipeline.model.layout import WAREHOUSE
from pipeline.model.log import SPARK_PROPERTY, fields_here, logs_json
from pipeline.model.redact import carries_secret
from pipeline.model.tables import NAMESPACE
from pipeline.rules.cluster import session_settings
from pipeline.tables.java_noise import without_noise
from pipeline.tables.masters.executors import await_executor, watch_executors
from pipeline.tables.masters.interrupts import before_end, own_handlers
from pipeline.tables.masters.jvm import JavaObject, apart, end_jvm, started_jvm, why_died
from pipeline.tables.masters.known import asked_for, fitted, known_master
from pipeline.tables.masters.kubernetes import of_this_driver
from pipeline.tables.masters.project import NAME, project_archive
from pipeline.tables.masters.yarn import CONNECT_WITHIN_MS
from pipeline.tables.settings import JAVA_OPTIONS, SparkSettings

logger = logging.getLogger(__name__)

CATALOG = "archive"
DEFAULT_CATALOG = "spark.sql.defaultCatalog"

_CHATTY = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")
"""Loggers to which PySpark writes, with the JVM's stack trace, what it raises anyway."""

STOP_WITHIN_S = 20.0
"""How long an end waits for pods to be deleted; `grace` of the chart leaves more."""

SPARK_JARS = Path(pyspark.__file__).parent / "jars"
LOG4J = Path(__file__).with_name("log4j2.properties")
DRIVER_LOG4J = "driver-log4j2.properties"
_QUIET = f"-Dlog4j2.configurationFile={LOG4J.as_uri()}"
BY_BUCKET = "spark.sql.iceberg.planning.preserve-data-grouping"
"""The setting that makes a task read exactly one whole bucket, if ``bucket`` is among the columns that are read."""

PARTS_OF_BUCKETS = "spark.sql.sources.v2.bucketing.partiallyClusteredDistribution.enabled"
"""The setting with which the tasks of a join each read a part of a bucket, and the other table's whole bucket."""

EXECUTOR_PATH = "spark.executorEnv.PYTHONPATH"
"""The setting that says what Python workers import from, besides Spark; relative to an executor's current folder."""

_LOCAL = {
    EXECUTOR_PATH: str(Path(__file__).parents[2]),  # Python workers import this package
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
}
_COLLECTOR = "-XX:-G1UseAdaptiveIHOP -XX:InitiatingHeapOccupancyPercent=80"
"""Java's collector marks its heap when 80 % are in use. By itself it does so from 45 % on, again and again, because a
page of contents is one large array; dead ones are freed without that (decision 78)."""

_DRIVERS_DEFAULT, _EXECUTORS_DEFAULT = "spark.driver.defaultJavaOptions", "spark.executor.defaultJavaOptions"
"""Spark's settings of options that stand before one's own."""

_ALWAYS = {
    _DRIVERS_DEFAULT: _COLLECTOR,
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # Where there is a page of the application, it has Spark's own metrics, under names that do not change with it.
    "spark.ui.prometheus.enabled": "true",
    "spark.metrics.conf.driver.sink.prometheusServlet.class": "org.apache.spark.metrics.sink.PrometheusServlet",
    "spark.metrics.conf.driver.sink.prometheusServlet.path": "/metrics/prometheus",
    "spark.metrics.namespace": "pipeline",
    "spark.pyspark.python": sys.executable,
    "spark.pyspark.driver.python": sys.executable,
    "spark.python.daemon.module": "pipeline.tables.python_daemon",
    "spark.executorEnv.MIMALLOC_PURGE_DELAY": "10",  # Arrow's default: executors have little memory besides the JVM's
    "spark.python.unix.domain.socket.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.catalogImplementation": "in-memory",
    # Otherwise ${env:TOKEN} in a statement expands to the environment's value, and ${spark.x} to a setting.
    "spark.sql.variable.substitute": "false",
    # Big binary rows: the row reader and small Arrow batches are 2.7 times as fast as the defaults.
    "spark.sql.iceberg.vectorization.enabled": "false",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "256",
    "spark.sql.execution.arrow.maxBytesPerBatch": str(64 << 20),
    # A flipped bit is an error, not different data.
    "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
    # Joins between our tables go bucket by bucket, without a shuffle. Parts of buckets would shuffle content in a
    # second join; content_stays asks for them where they do not.
    "spark.sql.sources.v2.bucketing.enabled": "true",
    "spark.sql.sources.v2.bucketing.pushPartValues.enabled": "true",
    PARTS_OF_BUCKETS: "false",
    BY_BUCKET: "true",
    "spark.sql.requireAllClusterKeysForCoPartition": "false",
    # In a join with a frame that is not partitioned by bucket, only that frame is shuffled.
    "spark.sql.sources.v2.bucketing.shuffle.enabled": "true",
    # HDFS refuses to close a file until a DataNode has reported its block, usually some milliseconds later. The client
    # asks again after 10 ms instead of 400, doubling each time: a commit closes half a dozen files.
    "spark.hadoop.dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "10",
    "spark.hadoop.dfs.client.block.write.locateFollowingBlock.retries": "10",
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    f"spark.sql.catalog.{CATALOG}": "org.apache.iceberg.spark.SparkCatalog",
    f"spark.sql.catalog.{CATALOG}.type": "hadoop",
    f"spark.sql.catalog.{CATALOG}.default-namespace": NAMESPACE,
    DEFAULT_CATALOG: CATALOG,
}


_REMOTE = {
    _EXECUTORS_DEFAULT: _COLLECTOR,
    "spark.ui.enabled": "true",
    "spark.ui.port": "0",  # several drivers may run on one machine
    "spark.python.unix.domain.socket.enabled": "false",  # paths in containers are longer than those of sockets may be
}
_ON_KUBERNETES = {
    # Spark ends Java when more executors have failed, by default twice as many as there are: a night may lose some each
    # hour. Executors that die at once are counted by await_executor.
    "spark.executor.maxNumFailures": "1000",
    # Spark gives Kubernetes ten seconds, in which a busy machine has not even loaded the client: met at once.
    **{
        f"spark.kubernetes.{client}.{kind}Timeout": "120000"
        for client in ("driver", "submission")
        for kind in ("request", "connection")
    },
}
_FILES = "spark.files"
_OF_THE_JVM = ("spark.driver.memory", _DRIVERS_DEFAULT, JAVA_OPTIONS)
_PACKAGES = "spark.jars.packages"
_HADOOP = "spark.hadoop."
_REDACTED, _REDACTED_BY_SPARK = "spark.redaction.regex", "(?i)secret|password|token|access[.]?key"
"""The setting that says which settings Spark hides on its pages and in its logs, and its own default."""

WAREHOUSE_SETTING = f"spark.sql.catalog.{CATALOG}.warehouse"
_SESSIONS: dict[str, SparkSession] = {}


class NoIceberg(UsageError):
    """A session that somebody else started lacks Iceberg."""

    def __init__(self, coordinate: str) -> None:
        super().__init__(coordinate)
        self.coordinate = coordinate

    def __str__(self) -> str:
        return f"this Spark has no Iceberg on its class path: start it with --packages {self.coordinate}"


def open_session(settings: SparkSettings, root_uri: str, app: str) -> SparkSession:
    """Start Spark, or return this process's session for the archive: one Spark, one session per archive.

    On a cluster, executors are made to fit its nodes, and the first one is awaited.

    Args:
        root_uri: the archive's root, such as ``file:///data/archive``; need not exist yet.
        app: name shown in the cluster; only the first call's counts.

    Raises:
        NothingFits: no node could ever hold an executor.
        NoResources: the cluster lent none within ``spark.wait_s``.
        ExecutorsDied: they ended as soon as they started.
    """
    conf = session_conf(settings, root_uri)
    running = _running()
    session = (
        _opened(settings, root_uri, app, conf) if running is None else _session_for(running, conf[WAREHOUSE_SETTING])
    )
    if logs_json():
        session.sparkContext.setLocalProperty(SPARK_PROPERTY, json.dumps(fields_here(), default=str))
    return session


def _opened(settings: SparkSettings, root_uri: str, app: str, conf: Mapping[str, str]) -> SparkSession:
    if not settings.local:
        return _start_on_cluster(settings, root_uri, app)
    if _PACKAGES not in conf:
        return _start(settings.master, conf, app)
    with _resolving(Path(conf["spark.jars.ivy"])):
        return _start(settings.master, session_conf(settings, root_uri), app)


def open_jvm(settings: SparkSettings, root_uri: str, conf: Mapping[str, str] | None = None) -> JavaObject:
    """This process's JVM, with Iceberg on its class path, before a session is opened in it.

    Args:
        conf: settings on its command line; None for the fewest, so that applications may be submitted from it.
    """

    def launched() -> JavaObject:
        all_settings = session_conf(settings, root_uri)
        fewest = {key: all_settings[key] for key in all_settings if key.startswith("spark.jars") or key in _OF_THE_JVM}
        given = (
            fewest if conf is None else {**conf, **{key: all_settings[key] for key in all_settings if key in fewest}}
        )
        with without_noise():
            return started_jvm(_public(given))

    known = session_conf(settings, root_uri)
    if _PACKAGES not in known:
        return launched()
    with _resolving(Path(known["spark.jars.ivy"])):
        return launched()


def open_submitted(settings: SparkSettings, root_uri: str) -> SparkSession:
    """The session of a driver that ``spark-submit`` started, which has all settings already.

    Raises:
        NoResources, ExecutorsDied: as ``open_session``.
    """
    _quiet_python()
    with warnings.catch_warnings():  # of archives, which PySpark looks for where they were on the submitter's disk
        warnings.filterwarnings("ignore", message="Failed to add file", category=RuntimeWarning)
        session = SparkSession.builder.getOrCreate()
    _SESSIONS[warehouse_of(root_uri)] = session
    _await(session, settings, dict(session.sparkContext.getConf().getAll()))
    return session


def adopt_session(running: SparkSession, settings: SparkSettings, root_uri: str) -> SparkSession:
    """A session for the archive beside somebody's own, in the same Spark; theirs keeps its settings.

    Raises:
        NoIceberg: Iceberg is not on Spark's class path.
    """
    conf = session_conf(settings, root_uri)
    warehouse = conf[WAREHOUSE_SETTING]
    known = _SESSIONS.get(warehouse)
    if known is not None and known.sparkContext is running.sparkContext:
        return known
    jvm = running.sparkContext._jvm
    if not getattr(jvm, "org.apache.spark.util.Utils").classIsLoadable(conf[f"spark.sql.catalog.{CATALOG}"]):
        raise NoIceberg(settings.iceberg)
    session = running.newSession()
    is_static = getattr(jvm, "org.apache.spark.sql.internal.SQLConf").isStaticConfigKey
    for key, value in conf.items():
        if key.startswith("spark.sql.") and not is_static(key):
            session.conf.set(key, value)
    _SESSIONS[warehouse] = session
    return session


@contextmanager
def _resolving(ivy: Path) -> Iterator[None]:
    """One process per machine at a time: Ivy has no locks, and concurrent downloads would collide."""
    ivy.mkdir(parents=True, exist_ok=True)
    with (ivy / ".git-lakehouse.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start_on_cluster(settings: SparkSettings, root_uri: str, app: str) -> SparkSession:
    tag = f"git-lakehouse-{uuid4().hex}"
    conf = _with_project(session_conf(settings, root_uri)) | {"spark.yarn.tags": tag}
    if settings.on_kubernetes:
        conf = of_this_driver(settings.master) | conf
        atexit.register(end_jvm)  # a container ends with its first process, and the JVM has pods to delete
    jvm = open_jvm(settings, root_uri, {"spark.master": settings.master, **conf})
    conf |= fitted(jvm, settings.master, settings.shape, conf, settings.conf, settings.wait_s)
    master = known_master(jvm, settings.master, asked_for(conf), settings.wait_s, conf)
    logger.info("starting Spark on %s", settings.master)
    with master.accepting():
        session = _start(settings.master, conf, app)
    context = session.sparkContext
    logger.info("application %s on %s, its page: %s", context.applicationId, settings.master, context.uiWebUrl)
    _await(session, settings, conf)
    if settings.on_kubernetes:
        stop = partial(_stop, session.sparkContext)
        atexit.register(stop)
        before_end(stop, first=True)
    return session


def _stop(context: SparkContext) -> None:
    """Stop Spark, which deletes the pods of its executors: Java's own end leaves them until the driver's is deleted."""
    java = context._jsc
    if java is not None and why_died(wait=False) is None:
        apart(java.stop, within_s=STOP_WITHIN_S)
        context._jsc = None


def _await(session: SparkSession, settings: SparkSettings, conf: Mapping[str, str]) -> None:
    jvm = session.sparkContext._jvm
    master = known_master(jvm, settings.master, asked_for(conf), settings.wait_s, conf)
    try:
        await_executor(session.sparkContext, master)
    except BaseException:
        session.stop()
        raise
    watch_executors(session.sparkContext, master)


def _with_project(conf: Mapping[str, str]) -> dict[str, str]:
    """Settings that bring this package to the executors, whose Python workers start from a module of it.

    Files lie in the executor's current folder, so the name alone is its path there.
    """
    files = [*filter(None, [conf.get(_FILES)]), str(project_archive())]
    return {EXECUTOR_PATH: NAME, **conf, _FILES: ",".join(files)}


def executor_path(settings: SparkSettings) -> str:
    """The value of ``EXECUTOR_PATH`` in a session with these settings."""
    return settings.conf.get(EXECUTOR_PATH) or (_LOCAL[EXECUTOR_PATH] if settings.local else NAME)


def _public(conf: Mapping[str, str]) -> dict[str, str]:
    """Settings that may stand on Java's command line, for all to see."""
    return {key: value for key, value in conf.items() if not _is_late(key, value)}


def _is_late(key: str, value: str) -> bool:
    return key.startswith(_HADOOP) and carries_secret(key, value)


def _start(master: str, conf: Mapping[str, str], app: str) -> SparkSession:
    os.environ["PYSPARK_PYTHON"] = conf["spark.pyspark.python"]  # PySpark reads only the variable
    builder = SparkSession.builder.master(master).appName(app)
    for key, value in _public(conf).items():
        builder = builder.config(key, value)
    _quiet_python()
    with without_noise(), own_handlers():
        started_jvm({"spark.master": master, **_public(conf)})
        session = builder.getOrCreate()
    hadoop = session.sparkContext._jsc.hadoopConfiguration()
    for key, value in conf.items():
        if _is_late(key, value):
            hadoop.set(key.removeprefix(_HADOOP), value)
    _SESSIONS[conf[WAREHOUSE_SETTING]] = session
    return session


def _quiet_python() -> None:
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _running() -> SparkSession | None:
    """Any session of this process whose Spark is still running."""
    return next((session for session in _SESSIONS.values() if session.sparkContext._jsc is not None), None)


def _session_for(running: SparkSession, warehouse: str) -> SparkSession:
    """The session of one archive; a loaded catalog cannot change its warehouse, so each archive has its own."""
    known = _SESSIONS.get(warehouse)
    if known is None or known.sparkContext is not running.sparkContext:
        known = running if running.conf.get(WAREHOUSE_SETTING, None) == warehouse else running.newSession()
        known.conf.set(WAREHOUSE_SETTING, warehouse)
        _SESSIONS[warehouse] = known
    return known


@contextmanager
def configured(spark: SparkSession, conf: Mapping[str, str]) -> Iterator[None]:
    """Apply some settings to everything planned while the block runs."""
    before = {key: spark.conf.get(key, None) for key in conf}
    for key, value in conf.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, old in before.items():
            if old is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, old)


def split_freely(spark: SparkSession) -> AbstractContextManager[None]:
    """Let scans started inside split their files freely, instead of into one task per bucket.

    One task per bucket is the default and saves joins of our tables a shuffle; for a scan of ``contents`` alone, or a
    join with a broadcast frame, it is too coarse. The action must be inside.
    """
    return configured(spark, {BY_BUCKET: "false"})


def session_conf(settings: SparkSettings, root_uri: str) -> dict[str, str]:
    """All settings of a session, as ``open_session`` uses them before it looks at a cluster's nodes."""
    conf = {
        **_ALWAYS,
        **session_settings(settings.shape),
        **(_LOCAL if settings.local else _REMOTE),
        **(_yarn_jars(settings.conf) if settings.master == "yarn" else {}),
        **(_ON_KUBERNETES if settings.on_kubernetes else {}),
        **({"spark.driver.memory": settings.driver_memory} if settings.driver_memory else {}),
        JAVA_OPTIONS: f"{_QUIET} {settings.java_options}".rstrip(),
        WAREHOUSE_SETTING: warehouse_of(root_uri),
        **settings.conf,
    }
    return {**_iceberg_jar(settings.iceberg, conf), **conf, _REDACTED: _redacted(conf)}


def warehouse_of(root_uri: str) -> str:
    """The value of ``WAREHOUSE_SETTING`` in a session for the archive at this root."""
    return f"{root_uri.rstrip('/')}/{WAREHOUSE}"


def _redacted(conf: Mapping[str, str]) -> str:
    """What Spark hides anyway, and the names of settings that carry secrets by our judgement, such as account keys."""
    names = (key.removeprefix(_HADOOP) for key, value in sorted(conf.items()) if carries_secret(key, value))
    return "|".join([conf.get(_REDACTED, _REDACTED_BY_SPARK), *map(re.escape, names)])


def submitted_conf(settings: SparkSettings, root_uri: str) -> dict[str, str]:
    """All settings of an application whose driver runs on a node of YARN, before its executors are fitted.

    Its log4j settings are shipped as a file of the name ``DRIVER_LOG4J``.
    """
    conf = session_conf(settings, root_uri)
    conf.pop("spark.submit.deployMode", None)
    java_options = settings.conf.get(JAVA_OPTIONS, settings.java_options)
    python = settings.conf.get("spark.pyspark.driver.python", conf["spark.pyspark.python"])
    return {
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": conf["spark.pyspark.python"],
        "spark.yarn.maxAppAttempts": "1",  # a driver that failed says why; it does not fail twice
        "spark.hadoop.yarn.resourcemanager.connect.max-wait.ms": CONNECT_WITHIN_MS,
        **conf,
        "spark.pyspark.driver.python": python,  # wins over the other, and the driver runs where executors do
        JAVA_OPTIONS: f"-Dlog4j2.configurationFile={DRIVER_LOG4J} {java_options}".rstrip(),
    }


def _yarn_jars(own: Mapping[str, str]) -> dict[str, str]:
    """Spark's jars on the nodes, if these have the same Python environment; otherwise Spark uploads its own."""
    if "spark.pyspark.python" in own or "spark.yarn.archive" in own:
        return {}
    return {"spark.yarn.jars": f"local:{SPARK_JARS}/*"}


def _iceberg_jar(coordinate: str, conf: dict[str, str]) -> dict[str, str]:
    """The jar that Ivy resolved on an earlier start, which saves a second; otherwise the coordinate to resolve.

    Nothing if one's own ``spark.jars`` has it, or if it is among Spark's own jars, as in an image.
    """
    group, artifact, version = coordinate.split(":")
    if (SPARK_JARS / f"{artifact}-{version}.jar").is_file():
        return {}
    if any(jar.rpartition("/")[2].startswith(f"{artifact}-") for jar in conf.get("spark.jars", "").split(",")):
        return {}
    ivy = Path(conf["spark.jars.ivy"]) if "spark.jars.ivy" in conf else Path.home() / ".ivy2.5.2"
    jar = ivy / "jars" / f"{group}_{artifact}-{version}.jar"
    if jar.is_file() and "spark.jars" not in conf and _PACKAGES not in conf:
        return {"spark.jars": str(jar)}
    return {_PACKAGES: coordinate, "spark.jars.ivy": str(ivy)}
