"""Commits that another writer's commit made untrue: nothing was changed, so they are made once more."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from pipeline.tables.iceberg import JavaObject

log = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 20
_CONFLICTS = (
    "org.apache.iceberg.exceptions.ValidationException",
    "org.apache.iceberg.exceptions.CommitFailedException",
)


def retried(change: Callable[[], T]) -> T:
    """Make a change that begins with reading; again, as long as others commit in between."""
    for _ in range(ATTEMPTS - 1):
        try:
            return change()
        except Exception as error:
            if not is_conflict(error):
                raise
            log.info("another writer was faster; once more")
    return change()


def is_conflict(error: BaseException) -> bool:
    """Whether an exception of Spark says that somebody else changed what a commit was made from."""
    java: JavaObject | None = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    while java is not None:
        if str(java.getClass().getName()) in _CONFLICTS:
            return True
        java = java.getCause()
    return False
