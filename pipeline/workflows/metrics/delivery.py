"""Takes metrics to where they outlive the process: a Pushgateway, or a file for the node exporter."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Literal
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from prometheus_client import CollectorRegistry, pushadd_to_gateway, write_to_textfile

from pipeline.context.config import Gateway, MetricsSection
from pipeline.workflows.metrics.exposed import registry_of
from pipeline.workflows.metrics.known import OF_A_MACHINE, Command, Values

logger = logging.getLogger(__name__)

PUSH_WITHIN_S = 10.0
ARCHIVE_FILE = "git-lakehouse.prom"


def file_of(command: Command | Literal["copy"]) -> str:
    """The name of the file that says how a command last ended."""
    return f"git-lakehouse-{command.replace('_', '-')}.prom"


def deliver(settings: MetricsSection, files: Mapping[str, Values]) -> None:
    """Push and write the metrics, as configured. What fails is a warning: the run they are about is over.

    A push replaces metrics of the same names in its group and leaves the others, so what could not be found this time
    keeps its last value. A file is replaced as a whole, so there it is missing until it is found again. How a command
    ended stays in both: each command has a file of its own.

    Args:
        files: the metrics by the file that they are written to.
    """
    gateway, folder = settings.gateway, settings.textfiles
    if gateway is not None:
        try:
            for group, values in _groups(settings, {m: found for part in files.values() for m, found in part.items()}):
                _push(gateway, settings.job, group, registry_of(values.copy))
        except (OSError, HTTPException, ValueError) as error:
            logger.warning("metrics were not pushed to %s: %s", gateway.address, error)
    if folder is not None:
        try:
            for name, values in files.items():
                _write(folder / name, values)
        except OSError as error:
            logger.warning("metrics were not written to %s: %s", folder, error.strerror or error)


def _write(path: Path, values: Values) -> None:
    """Replace a file at once; whatever the umask of cron is, the node exporter may read it."""
    write_to_textfile(str(path), registry_of(lambda: values))
    path.chmod(0o644)


def _groups(settings: MetricsSection, values: Values) -> Iterator[tuple[dict[str, str], Values]]:
    """What is pushed to which group: only what is about this machine to one of its own.

    A copy of the archive's metrics for each host that once delivered them would keep alerts firing.
    """
    if not settings.instance:
        yield {}, values
        return
    yield {}, {metric: found for metric, found in values.items() if metric not in OF_A_MACHINE}
    yield {"instance": settings.instance}, {m: found for m, found in values.items() if m in OF_A_MACHINE}


def _push(gateway: Gateway, job: str, group: Mapping[str, str], registry: CollectorRegistry) -> None:
    """Push to the gateway itself: neither a proxy nor a redirect gets the login."""

    def sending(
        url: str, method: str, timeout: float | None, headers: Sequence[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        request = Request(url, data, dict(headers), method=method)  # noqa: S310 - http or https by its type
        if gateway.login is not None:
            request.add_header("Authorization", f"Basic {b64encode(gateway.login.encode()).decode()}")

        def send() -> None:
            with build_opener(ProxyHandler({}), _NoRedirects).open(request, timeout=timeout):
                pass

        return send

    pushadd_to_gateway(gateway.address, job, registry, dict(group), PUSH_WITHIN_S, sending)


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Make an error of it."""
