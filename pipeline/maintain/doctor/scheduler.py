"""The luigid that several hosts share."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException

from pipeline.maintain.doctor.finding import Finding, machine_failure, ok

LIMIT_S = 10.0


def check_scheduler(scheduler: str | None) -> Finding:
    """Check that it answers at ``host:port``; without one a night needs none."""
    if scheduler is None:
        return ok("luigi", "no luigid is configured; the scheduler runs within the process")
    host, _, port = scheduler.rpartition(":")
    connection = HTTPConnection(host.strip("[]"), int(port), timeout=LIMIT_S)
    try:
        connection.request("GET", "/api/task_list?data={}")
        status = connection.getresponse().status
    except (OSError, HTTPException):
        return machine_failure(
            "luigi", f"no luigid answers at {scheduler}", "start it, or remove luigi.scheduler from the configuration"
        )
    finally:
        connection.close()
    if status >= 400:
        return machine_failure(
            "luigi", f"{scheduler} answers with {status}: it is not a luigid", "correct luigi.scheduler"
        )
    return ok("luigi", f"a luigid answers at {scheduler}")
