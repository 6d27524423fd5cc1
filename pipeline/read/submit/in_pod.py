"""Run a job's driver in a pod of Kubernetes."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping

from pipeline.model.errors import UsageError
from pipeline.model.redact import carries_secret
from pipeline.tables.java_noise import NOISE
from pipeline.tables.masters.application import Program
from pipeline.tables.masters.driver_pod import POD_NAME, STAGING, DriverPod, follow, pod_settings, staging
from pipeline.tables.masters.interrupts import looked_for
from pipeline.tables.masters.jvm import JavaObject
from pipeline.tables.masters.known import driver_asked_for, fitted
from pipeline.tables.masters.kubernetes import own_namespace
from pipeline.tables.session import session_conf
from pipeline.tables.settings import JAVA_OPTIONS, SparkSettings

logger = logging.getLogger(__name__)

UI_PORT = "spark.ui.port"

UPLOADS = "/spark-upload-"
"""A part of the paths of what Spark uploads."""

NAMES_ONLY = (
    "serviceAccountName", "File", "pullSecrets", ".container.image", ".principal", ".authenticate", ".authentication"
)  # fmt: skip
"""Ends of settings that name or switch something, whatever else is in their names and values."""

REFERENCES = re.compile(r"\.(?:driver|executor)\.secret(?:s|KeyRef)\.")
"""Settings that name a Secret of Kubernetes."""


class SecretShown(UsageError):
    """A setting that carries a secret would be readable."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return (
            f"Spark keeps the settings of a driver's pod in a ConfigMap, where {self.key} could be read: put it into "
            "the pods' core-site.xml or another file of a Secret"
        )


def run_in_pod(
    jvm: JavaObject, name: str, program: Program, settings: SparkSettings, root_uri: str, show: Callable[[str], None]
) -> None:
    """Submit a driver, with executors that fit the cluster, and follow it to its end.

    Args:
        name: shown in Spark.
        show: is called with each line of the driver's log.

    Raises:
        SecretShown: a setting carries a secret.
        NothingFits: no node could ever hold an executor.
        NoResources: the driver did not start within ``spark.wait_s``.
        ApplicationFailed: it could not be submitted, failed, or was deleted.
    """
    conf = own_namespace() | session_conf(settings, root_uri) | pod_settings(name.rpartition(" ")[2])
    if UI_PORT not in settings.conf:
        conf[UI_PORT] = "4040"  # a pod is alone at its address, and Kubernetes wants to know its ports beforehand
    conf.pop("spark.submit.deployMode", None)
    refuse_secrets({JAVA_OPTIONS: settings.java_options or "", **settings.conf})
    conf |= fitted(jvm, settings.master, settings.shape, conf, settings.conf, settings.wait_s, driver_inside=True)
    conf[STAGING] = staging(jvm, conf, root_uri)
    driver = DriverPod(settings.master, driver_asked_for(conf), settings.wait_s, jvm, conf)
    with looked_for() as interrupts:
        driver.submit(name, program, interrupts)
        logger.info("submitted driver %s to %s", conf[POD_NAME], driver.namespace)
        follow(driver, lambda line: None if _is_noise(line) else show(line), interrupts)


def _is_noise(line: str) -> bool:
    """Whether nobody can act on a line: Java's start, and Spark's list of what it has downloaded."""
    return line.encode().startswith(NOISE) or (line.startswith("Files ") and UPLOADS in line)


def refuse_secrets(conf: Mapping[str, str]) -> None:
    """Raise ``SecretShown`` if a setting carries a secret."""
    for key, value in conf.items():
        if carries_secret(key, value) and not key.endswith(NAMES_ONLY) and not REFERENCES.search(key):
            raise SecretShown(key)
