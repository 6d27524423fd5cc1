"""A run: what every task of it needs, handed to the tasks as one hidden parameter."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import uuid4
from weakref import WeakValueDictionary

import luigi
from luigi.parameter import ParameterVisibility
from pyspark.sql import SparkSession
from tenacity import Retrying, before_sleep_log, retry_if_exception, stop_after_attempt, wait_exponential

from pipeline.archive import ArchiveInfo
from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.storage.interface import Storage
from pipeline.tables.failures import told_plainly
from pipeline.tables.session import open_session
from pipeline.tables.writer import Writer
from pipeline.workflows.events import EventLog

logger = logging.getLogger(__name__)

T = TypeVar("T")


def new_run_id() -> str:
    """Sorts by time, tells the host and process, and is never used twice."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"


@dataclass(frozen=True, eq=False)
class Run:
    """One run of the pipeline. Hashes by identity: there is one in a process.

    Attributes:
        check_lease: raises LeaseLost when this run may write no more.
        scratch: local folder of this run, which exists.
    """

    run_id: str
    config: Config
    storage: Storage
    info: ArchiveInfo
    check_lease: Callable[[], None]
    scratch: Path
    events: EventLog

    def spark(self) -> SparkSession:
        """The session of this process, started on first use."""
        return open_session(self.config.spark, self.storage.root_uri, f"pipeline {self.run_id}")

    def writer(self) -> Writer:
        """What changes tables as long as this run holds the lease."""
        return Writer(self.spark(), self.check_lease)

    def retrying(self, work: Callable[[], T]) -> T:
        """Do it; again, after a pause, as long as the error's type says that this may help."""
        luigi_section = self.config.luigi

        def once() -> T:
            with told_plainly(self.storage.root_uri):
                return work()

        attempts = Retrying(
            retry=retry_if_exception(lambda e: isinstance(e, PipelineError) and e.retryable),
            stop=stop_after_attempt(luigi_section.attempts),
            wait=wait_exponential(multiplier=luigi_section.first_pause_s),
            before_sleep=before_sleep_log(logger, logging.WARNING),
            reraise=True,
        )
        return attempts(once)


_RUNS: WeakValueDictionary[str, Run] = WeakValueDictionary()


class RunParameter(luigi.Parameter):
    """Carries the Run object; not part of a task's identity. Luigi itself passes it on as the run's id."""

    def __init__(self) -> None:
        super().__init__(significant=False, visibility=ParameterVisibility.HIDDEN)

    def normalize(self, x: Run | str) -> Run:
        """The run, also where Luigi made a task anew from texts: found by its id in this process."""
        return _RUNS[x] if isinstance(x, str) else x

    def serialize(self, x: Run) -> str:
        """The run's id."""
        _RUNS[x.run_id] = x
        return x.run_id

    def _warn_on_wrong_param_type(self, param_name: str, param_value: object) -> None:
        if not isinstance(param_value, Run):
            raise TypeError(f"{param_name} must be a Run")
