"""The process on an executor from which Spark forks its Python workers: Spark's own, except for five things.

A worker of PySpark 4.1 drops all import caches before each task. Python before 3.13 then reads the whole directory of
each jar and zip on its path again, and of a zip once more for every package that came from it. These files do not
change while a worker lives, so workers keep the cached directories (decision 13).

After each task a worker looks for garbage. What it has imported by the end of its first task is none: it is left out.

A worker whose task was cancelled, or did not need all its rows, finds its socket closed. PySpark prints a traceback for
each; nobody can act on it, so these workers exit silently.

Temporary files of a worker lie where its executor spills: on a cluster that is on the disks that were given to the
application, and the cluster deletes them with it, even after a kill. Several disks are shared among the workers.

Warnings go to the executor's standard error in the form of the driver's log, with its night and run.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import tempfile
from socket import socket
from zipimport import zipimporter

from pyspark import TaskContext, daemon

from pipeline.model.log import SPARK_PROPERTY, TEXT, JsonFormatter, TextFormatter, fields_here


def _keep(importer: zipimporter) -> None:
    """Does nothing: keeps the cached directory."""


_work = daemon.worker
_folders = [folder for folder in os.environ.get("SPARK_LOCAL_DIRS", "").split(",") if folder]


def _work_quietly(sock: socket, authenticated: bool) -> int:
    if _folders:
        tempfile.tempdir = _folders[os.getpid() % len(_folders)]
    try:
        code = int(_work(sock, authenticated))  # type: ignore[no-untyped-call]  # PySpark's daemon has no types
    except (BrokenPipeError, ConnectionResetError):
        return 1
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
    return code


class _TaskFormatter(logging.Formatter):
    """The form of the driver's log, which a worker learns with each task."""

    def __init__(self) -> None:
        super().__init__()
        self._text = TextFormatter(TEXT)

    def format(self, record: logging.LogRecord) -> str:
        """The event as a line."""
        task = TaskContext.get()
        said = task.getLocalProperty(SPARK_PROPERTY) if task is not None else None
        if said is None:
            return self._text.format(record)
        return JsonFormatter(lambda: {**json.loads(said), **fields_here()}).format(record)


if __name__ == "__main__":
    zipimporter.invalidate_caches = _keep  # type: ignore[method-assign, assignment]  # to replace it is the purpose
    daemon.worker = _work_quietly
    handler = logging.StreamHandler()
    handler.setFormatter(_TaskFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    daemon.manager()  # type: ignore[no-untyped-call]
