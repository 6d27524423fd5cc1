"""Why a cluster did not run an application."""

from __future__ import annotations

from signal import SIGKILL

from pipeline.model.errors import ExitCode, PipelineError, UsageError


class NoResources(PipelineError):
    """The master lent nothing in time; a later run may find more."""

    retryable = True

    def __init__(self, master: str, asked: str, offered: str, waited_s: float) -> None:
        super().__init__(master, asked, offered, waited_s)
        self.master, self.asked, self.offered, self.waited_s = master, asked, offered, waited_s

    def __str__(self) -> str:
        return (
            f"{self.master} gave no resources within {self.waited_s:g} s. Asked for: {self.asked}. It has: "
            f"{self.offered}. Ask for less ([spark.cluster], [spark.conf]), wait longer (spark.wait_s), or free some"
        )


class NothingFits(UsageError):
    """No node could ever hold an executor."""

    def __init__(self, master: str, least: str, offered: str) -> None:
        super().__init__(master, least, offered)
        self.master, self.least, self.offered = master, least, offered

    def __str__(self) -> str:
        return f"no executor fits on {self.master}: the smallest takes {self.least}. It has: {self.offered}"


class ExecutorsDied(PipelineError):
    """Executors end as soon as they start."""

    def __init__(self, master: str, reason: str) -> None:
        super().__init__(master, reason)
        self.master, self.reason = master, reason

    def __str__(self) -> str:
        return f"the executors on {self.master} end as soon as they start: {self.reason}"


class DriverDied(PipelineError):
    """The driver's Java process ended by itself, or was killed.

    Attributes:
        status: as ``subprocess`` has it.
        heap: its greatest size, as settings have it.
        place: what the driver was at, in words; "" if that is not known.
    """

    def __init__(self, status: int, heap: str, place: str = "") -> None:
        super().__init__(status, heap, place)
        self.status, self.heap, self.place = status, heap, place

    def at(self, place: str) -> DriverDied:
        """The same error with its place."""
        return DriverDied(self.status, self.heap, place)

    def __str__(self) -> str:
        return f"{self._why()}{self.place and f'. It was at {self.place}'}"

    def _why(self) -> str:
        if self.status == OUT_OF_MEMORY:
            return f"the driver ran out of memory: its heap of {self.heap} was full. {LESS_OR_MORE}"
        if self.status == -SIGKILL:
            return (
                f"the driver's Java process was killed, as by a machine that has no memory left for its heap of "
                f"{self.heap}. Free some, or lower spark.driver_memory"
            )
        return f"the driver's Java process ended by itself, with status {self.status}; its last output is above"


OUT_OF_MEMORY = 3
"""Status of a JVM that ends because its heap is full, as ``SparkSettings.failing_fast`` has it."""

LESS_OR_MORE = (
    "Raise spark.driver_memory, or let fewer rows come to the driver (write, aggregate or limit them instead of "
    "collecting them); on a local master, whose tasks share this heap, let them hold fewer rows at once, too"
)


class ApplicationFailed(PipelineError):
    """The driver of an application in the cluster ended with a failure; its log has been shown.

    Attributes:
        logs: the command that shows all of it; "" if there is none.
    """

    def __init__(self, application: str, reason: str, code: int, logs: str = "") -> None:
        super().__init__(application, reason, code, logs)
        self.application, self.reason, self.code, self.logs = application, reason, code, logs

    @property
    def exit_code(self) -> ExitCode:  # type: ignore[override]  # the driver's own, not that of the class
        """The driver's exit code; that of a failed run if it has none of a job's. Python itself ends with 1."""
        own = set(ExitCode) - {ExitCode.DONE, ExitCode.SOME_ORIGINS_FAILED}
        return ExitCode(self.code) if self.code in own else ExitCode.RUN_FAILED

    def __str__(self) -> str:
        more = self.logs and f"; all of it: {self.logs}"
        return f"application {self.application} failed: {self.reason}. What its driver said is above{more}"
