"""Run a job's driver on a node of YARN."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import uuid4

from pipeline.tables.java_noise import NOISE
from pipeline.tables.masters.application import Program, follow, submit
from pipeline.tables.masters.interrupts import looked_for
from pipeline.tables.masters.jvm import JavaObject
from pipeline.tables.masters.known import driver_asked_for, fitted
from pipeline.tables.masters.yarn import Yarn
from pipeline.tables.session import submitted_conf
from pipeline.tables.settings import SparkSettings

logger = logging.getLogger(__name__)


def run_on_yarn(
    jvm: JavaObject, name: str, program: Program, settings: SparkSettings, root_uri: str, show: Callable[[str], None]
) -> None:
    """Submit a driver, with executors that fit YARN's nodes, and follow it to its end.

    Args:
        name: shown in YARN.
        show: is called with each line of the driver's log.

    Raises:
        NothingFits: no node could ever hold an executor.
        NoResources: YARN did not start the driver within ``spark.wait_s``.
        ApplicationFailed: it could not be submitted, failed, or was killed.
    """
    tag = f"git-lakehouse-{uuid4().hex}"
    conf = submitted_conf(settings, root_uri) | {"spark.yarn.tags": tag}
    conf |= fitted(jvm, settings.master, settings.shape, conf, settings.conf, settings.wait_s, driver_inside=True)
    staging = conf.get("spark.yarn.stagingDir", "")
    yarn = Yarn(driver_asked_for(conf), settings.wait_s, jvm, tag, staging)
    with looked_for() as interrupts:
        application = submit(jvm, yarn, name, program, conf, interrupts)
        logger.info("submitted application %s", application)
        follow(yarn, application, lambda line: None if line.encode().startswith(NOISE) else show(line), interrupts)
