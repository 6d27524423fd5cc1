"""Why a cluster did not run an application."""

from __future__ import annotations

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


class ApplicationFailed(PipelineError):
    """The driver of an application in the cluster ended with a failure; its log has been shown."""

    def __init__(self, application: str, reason: str, code: int) -> None:
        super().__init__(application, reason, code)
        self.application, self.reason, self.code = application, reason, code

    @property
    def exit_code(self) -> ExitCode:  # type: ignore[override]  # the driver's own, not that of the class
        """The driver's exit code; that of a failed run if it has none of a job's. Python itself ends with 1."""
        own = set(ExitCode) - {ExitCode.DONE, ExitCode.SOME_ORIGINS_FAILED}
        return ExitCode(self.code) if self.code in own else ExitCode.RUN_FAILED

    def __str__(self) -> str:
        return (
            f"application {self.application} failed: {self.reason}. What its driver said is above; all of it: "
            f"yarn logs -applicationId {self.application}"
        )
