"""Takes metrics to where they outlive the process: a Pushgateway, or a file for the node exporter."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable, Sequence
from http.client import HTTPException
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from prometheus_client import CollectorRegistry, pushadd_to_gateway, write_to_textfile

from pipeline.context.config import Gateway, MetricsSection
from pipeline.metrics.exposed import registry_of
from pipeline.metrics.known import Values

logger = logging.getLogger(__name__)

PUSH_WITHIN_S = 10.0
ARCHIVE_FILE, ENDING_FILE = "git-lakehouse.prom", "git-lakehouse-nightly.prom"


def deliver(settings: MetricsSection, archive: Values, ending: Values | None = None) -> None:
    """Push and write the metrics, as configured. What fails is a warning: the run they are about is over.

    A push replaces metrics of the same names in its group and leaves the others, so what could not be found this time
    keeps its last value, and so does a nightly's ending, which has a file of its own.

    Args:
        archive: the state of the archive.
        ending: how a nightly ended, if one did.
    """
    gateway, folder = settings.gateway, settings.textfiles
    if gateway is not None:
        try:
            _push(gateway, settings, registry_of(lambda: archive | (ending or {})))
        except (OSError, HTTPException, ValueError) as error:
            logger.warning("metrics were not pushed to %s: %s", gateway.address, error)
    if folder is not None:
        try:
            write_to_textfile(str(folder / ARCHIVE_FILE), registry_of(lambda: archive))
            if ending is not None:
                write_to_textfile(str(folder / ENDING_FILE), registry_of(lambda: ending))
        except OSError as error:
            logger.warning("metrics were not written to %s: %s", folder, error.strerror or error)


def _push(gateway: Gateway, settings: MetricsSection, registry: CollectorRegistry) -> None:
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

    group = {"instance": settings.instance} if settings.instance else {}
    pushadd_to_gateway(gateway.address, settings.job, registry, group, PUSH_WITHIN_S, sending)


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Make an error of it."""
