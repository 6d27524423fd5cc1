"""Git servers for tests, good and bad; every one is a context manager with a ``url``."""

from tests.support.bad_servers import (
    corrupt_pack,
    endless_pack,
    endless_refs,
    garbage_pack,
    half,
    http_status,
    redirect_to,
    reset,
    silent,
    trickle,
)
from tests.support.real_servers import git_daemon, http_backend, nginx_backend, nginx_missing
from tests.support.sockets import Listener, Peer

__all__ = [
    "Listener",
    "Peer",
    "corrupt_pack",
    "endless_pack",
    "endless_refs",
    "garbage_pack",
    "git_daemon",
    "half",
    "http_backend",
    "http_status",
    "nginx_backend",
    "nginx_missing",
    "redirect_to",
    "reset",
    "silent",
    "trickle",
]
