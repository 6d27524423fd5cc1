"""The endpoint at which Prometheus reads the metrics of a run, while the run lasts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import start_http_server

from pipeline.workflows.metrics.exposed import registry_of
from pipeline.workflows.metrics.known import Values

logger = logging.getLogger(__name__)


@contextmanager
def serving(listen: str, find: Callable[[], Values]) -> Iterator[None]:
    """Serve metrics while the block runs. An address that cannot be taken is a warning: the run is worth more.

    Args:
        listen: host:port.
        find: called at each scrape, in a thread of its own.
    """
    host, _, port = listen.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry_of(find))
    except (OSError, ValueError, OverflowError) as error:  # also of a name that is none, or a port too large
        logger.warning("metrics are not served at %s: %s", listen, getattr(error, "strerror", None) or error)
        server = None
    if server is None:
        yield
        return
    logger.info("metrics are served at http://%s:%d/metrics", host, server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
