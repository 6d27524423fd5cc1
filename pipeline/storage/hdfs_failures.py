"""Errors of HdfsCLI and its HTTP client, as our own errors in plain words."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import NoReturn
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from hdfs.util import HdfsError

from pipeline.model.redact import one_line
from pipeline.storage.errors import AlreadyThere, FileMissing, StorageError, StorageUnavailable
from pipeline.storage.settings import HdfsSettings

LATER = {
    "BlockMissingException",
    "ClosedChannelException",
    "ConnectException",
    "EOFException",
    "LeaseExpiredException",
    "NoRouteToHostException",
    "RecoveryInProgressException",
    "RetriableException",
    "SafeModeException",
    "SocketException",
    "SocketTimeoutException",
    "StandbyException",
}
DATA_LATER = LATER | {"IOException"}  # no DataNode, none with space, a broken pipeline: none has a name of its own
TAKEN = {"AlreadyBeingCreatedException", "FileAlreadyExistsException"}


@contextmanager
def translated(path: str, settings: HdfsSettings, later: Set[str] = LATER) -> Iterator[None]:
    """Turn errors of HdfsCLI and requests into this package's errors about a path.

    Args:
        path: the call's path.
        settings: the servers and time limits of the call.
        later: names of server exceptions that mean "try again".
    """
    try:
        yield
    except HdfsError as error:
        _raise_refusal(path, error, later)
    except (requests.exceptions.SSLError, requests.exceptions.InvalidURL) as error:
        raise StorageError(path, f"no connection: {one_line(str(error))}") from error
    except (requests.JSONDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise StorageError(path, f"not a WebHDFS answer ({one_line(repr(error))}); check the address") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, TimeoutError) as error:
        raise StorageUnavailable(path, f"{_who(error, settings)} ({_why(error, settings)})") from error


def _raise_refusal(path: str, error: HdfsError, later: Set[str]) -> NoReturn:
    """Raise the error for a server's refusal, by the name of its exception, never by its text."""
    name = error.exception
    if name == "FileNotFoundException":
        raise FileMissing(path) from error
    if name in TAKEN:
        raise AlreadyThere(path) from error
    text = error.message.decode(errors="replace") if isinstance(error.message, bytes) else str(error.message)
    first_line = one_line(text.strip().partition("\n")[0], 300)
    kind = StorageUnavailable if name in later else StorageError
    raise kind(path, f"HDFS answered {name or 'without an exception name'}: {first_line}") from error


def _who(error: Exception, settings: HdfsSettings) -> str:
    """Who did not answer. All NameNodes were asked; the error has only the last one."""
    request = getattr(error, "request", None)
    if request is None or not request.url:
        return "the connection to HDFS broke"
    parts = urlsplit(request.url)
    asked = f"{parts.scheme}://{parts.netloc}"
    namenodes = [url.rstrip("/") for url in settings.webhdfs_urls]
    if asked in namenodes:
        return f"no NameNode answers at {' or '.join(namenodes)}"
    return f"the DataNode at {asked} does not answer"


def _why(error: Exception, settings: HdfsSettings) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {settings.connect_timeout_s:g} s"
    causes = list(_causes(error))
    if any(isinstance(cause, urllib3.exceptions.NameResolutionError) for cause in causes):
        return "no host has this name"
    codes = [cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno]
    if codes:
        return os.strerror(codes[-1])
    if any(isinstance(cause, requests.ReadTimeout | TimeoutError) for cause in causes):
        return f"silent for {settings.read_timeout_s:g} s"
    return "the connection ended early"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
