"""HdfsCLI, with time limits and bounded repetition."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import requests
from hdfs import InsecureClient, TokenClient
from requests.adapters import HTTPAdapter
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay
from tenacity.wait import wait_exponential

from pipeline.storage.errors import StorageUnavailable
from pipeline.storage.settings import HdfsSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_PAUSE_S = 10.0
CONNECTIONS = 32


def make_client(settings: HdfsSettings) -> Any:  # noqa: ANN401  # HdfsCLI has no types
    """An HdfsCLI client that takes absolute paths literally and ignores proxies in the environment."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(settings.ca_file) if settings.ca_file else True
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
    session.hooks["response"].append(_refuse_gateway_errors)
    url, token = ";".join(settings.webhdfs_urls), settings.delegation_token
    common = {"timeout": (settings.connect_timeout_s, settings.read_timeout_s), "session": session, "root": "/"}
    if settings.auth == "kerberos":
        from hdfs.ext.kerberos import KerberosClient  # noqa: PLC0415  # needs an extra of HdfsCLI

        client = KerberosClient(url, mutual_auth="REQUIRED", max_concurrency=CONNECTIONS, **common)
    elif token is not None:
        client = TokenClient(url, token.get_secret_value(), **common)
    else:
        client = InsecureClient(url, user=settings.user, **common)
    client.resolve = str  # its own would expand '#LATEST' in names
    return client


def repeated(settings: HdfsSettings, call: Callable[[], T]) -> T:
    """Retry a safely repeatable call until it succeeds or reaches the settings' limits.

    Raises:
        StorageUnavailable: that of the last attempt.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(StorageUnavailable),
        stop=stop_after_attempt(settings.attempts) | stop_after_delay(settings.give_up_after_s),
        wait=wait_exponential(multiplier=settings.first_pause_s, max=LONGEST_PAUSE_S),
        before_sleep=_say_again,
        reraise=True,
    )
    return retrying(call)


def _refuse_gateway_errors(response: requests.Response, **_: object) -> None:
    """Treat "no server behind this one" as no connection, so that HdfsCLI tries its next address."""
    if response.status_code in {502, 503, 504}:
        response.close()
        raise requests.ConnectionError(f"HTTP status {response.status_code}", response=response)


def _say_again(state: RetryCallState) -> None:
    if state.outcome is not None and state.next_action is not None:
        logger.warning(
            "attempt %d: %s; again in %.1f s", state.attempt_number, state.outcome.exception(), state.next_action.sleep
        )
