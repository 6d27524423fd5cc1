"""What a hostile origin is made of and how its visit must end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from pipeline.git.limits import MIB, Limits
from tests.git.packs import NUMBERS, full, oid_of, pack_of
from tests.support.sockets import Listener

Outcome = tuple[str, str | None]
"""Status and error code of a visit."""

EXACT: Final[Outcome] = ("full", None)
LEFT_OUT: Final[Outcome] = ("full", "refs_left_out")
INCOMPLETE: Final[Outcome] = ("failed", "pack_incomplete")
CORRUPT: Final[Outcome] = ("failed", "pack_corrupt")
OVER_LIMIT: Final[Outcome] = ("failed", "limit_exceeded")
TOO_LARGE: Final[Outcome] = ("partial", "too_large")
PROTOCOL: Final[Outcome] = ("failed", "protocol")
LOST: Final[Outcome] = ("failed", "connection_lost")
TIMEOUT: Final[Outcome] = ("failed", "timeout")
SERVER_ERROR: Final[Outcome] = ("failed", "server_error")
RATE_LIMITED: Final[Outcome] = ("deferred", "rate_limited")
BLOCKED: Final[Outcome] = ("refused", "blocked_legal")
NOT_FOUND: Final[Outcome] = ("not_found", "not_found")
LOGIN: Final[Outcome] = ("refused", "login_required")
OBJECT_FORMAT: Final[Outcome] = ("refused", "object_format")
ADDRESS: Final[Outcome] = ("refused", "address_refused")
SCHEME: Final[Outcome] = ("refused", "scheme_refused")
DUMB: Final[Outcome] = ("refused", "dumb_protocol")

LIMITS: Final = Limits(
    connect_s=3, silence_s=3, total_s=90, refs_bytes=16 * MIB, pack_bytes=16 * MIB, blob_bytes=MIB,
    memory_bytes=512 * MIB, scratch_bytes=256 * MIB, inflated_bytes=2048 * MIB,
)  # fmt: skip
"""Limits of the visits to all hostile origins: those of a laptop, so that they are reached quickly."""

MAIN: Final = b"refs/heads/main"
WHO: Final = b"A U Thor <author@example.com> 1700000000 +0100"
NOTHING: Final = "0" * 40
ABSENT: Final = "e" * 40
"""The id of an object that is never sent."""

Refs = Mapping[bytes, str]


class Made:
    """The product of a spec: objects, and how the server shows and sends them.

    Attributes:
        objects: id to kind and bytes of everything that the archive must have afterwards; sent as a pack.
        pack: sent instead of a pack of ``objects``, if a spec sets it.
        symrefs: name to target of the symbolic refs.
        lines: sent instead of one line per ref, if a spec sets it; without pkt-line lengths.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[str, bytes]] = {}
        self.pack: bytes | None = None
        self.symrefs: dict[bytes, bytes] = {}
        self.lines: list[bytes] | None = None

    def put(self, kind: str, data: bytes) -> str:
        """An object of any bytes; returns its id."""
        oid = oid_of(NUMBERS[kind], data).hex()
        self.objects[oid] = kind, data
        return oid

    def blob(self, data: bytes = b"text\n") -> str:
        return self.put("blob", data)

    def tree(self, *entries: tuple[str | bytes, str | bytes, str]) -> str:
        """A tree of (mode digits, name, id) in the given order."""
        rows = [_bytes(mode) + b" " + _bytes(name) + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries]
        return self.put("tree", b"".join(rows))

    def files(self) -> str:
        """A tree with one ordinary file."""
        return self.tree(("100644", "a.txt", self.blob()))

    def commit(
        self,
        tree: str | None = None,
        *parents: str,
        author: bytes = WHO,
        committer: bytes = WHO,
        headers: bytes = b"",
        message: bytes = b"message\n",
    ) -> str:
        """A commit; ``headers`` are whole lines after the committer."""
        lines = [f"tree {tree or self.files()}", *(f"parent {parent}" for parent in parents)]
        people = b"author " + author + b"\ncommitter " + committer + b"\n"
        return self.put("commit", "\n".join(lines).encode() + b"\n" + people + headers + b"\n" + message)

    def commit_of(self, *lines: bytes) -> str:
        """A commit of exactly these header lines."""
        return self.put("commit", b"\n".join(lines) + b"\n\nmessage\n")

    def tag(self, target: str, kind: str = "commit", name: str = "v1", *, headers: bytes = b"") -> str:
        head = f"object {target}\ntype {kind}\ntag {name}\ntagger ".encode() + WHO + b"\n"
        return self.put("tag", head + headers + b"\ntagged\n")

    def entries(self) -> list[bytes]:
        """One pack entry per object."""
        return [full(NUMBERS[kind], data) for kind, data in self.objects.values()]

    def sent_pack(self) -> bytes:
        return pack_of(self.entries()) if self.pack is None else self.pack


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


@dataclass(frozen=True)
class Repository:
    """A repository that a willing server shows, whatever git thinks of it.

    Attributes:
        outcomes: how its visit may end; more than one if that depends on limits, or if giving up is as good.
        make: fills a ``Made`` and returns the refs that the server shows.
        left_out: shown refs that the archive does not keep.
    """

    outcomes: tuple[Outcome, ...]
    make: Callable[[Made], Refs]
    left_out: frozenset[bytes] = frozenset()
    limits: Limits = LIMITS


@dataclass(frozen=True)
class Server:
    """A server that misbehaves; ``serve`` makes a listener, whose ``url()`` is the origin."""

    outcomes: tuple[Outcome, ...]
    serve: Callable[[], AbstractContextManager[Listener]]
    limits: Limits = LIMITS


REPOSITORIES: Final[dict[str, Repository]] = {}
SERVERS: Final[dict[str, Server]] = {}


def repository(
    *outcomes: Outcome, left_out: tuple[bytes, ...] = (), limits: Limits = LIMITS
) -> Callable[[Callable[[Made], Refs]], Callable[[Made], Refs]]:
    """Register the function as a hostile repository under its own name."""

    def register(make: Callable[[Made], Refs]) -> Callable[[Made], Refs]:
        add_repository(make.__name__, make, *outcomes, left_out=left_out, limits=limits)
        return make

    return register


def add_repository(
    name: str,
    make: Callable[[Made], Refs],
    *outcomes: Outcome,
    left_out: tuple[bytes, ...] = (),
    limits: Limits = LIMITS,
) -> None:
    assert name not in REPOSITORIES
    REPOSITORIES[name] = Repository(outcomes, make, frozenset(left_out), limits)


def server(
    *outcomes: Outcome, limits: Limits = LIMITS
) -> Callable[[Callable[[], AbstractContextManager[Listener]]], Callable[[], AbstractContextManager[Listener]]]:
    """Register the function, which starts a server, as a hostile server under its own name."""

    def register(
        serve: Callable[[], AbstractContextManager[Listener]],
    ) -> Callable[[], AbstractContextManager[Listener]]:
        add_server(serve.__name__, serve, *outcomes, limits=limits)
        return serve

    return register


def add_server(
    name: str, serve: Callable[[], AbstractContextManager[Listener]], *outcomes: Outcome, limits: Limits = LIMITS
) -> None:
    assert name not in SERVERS
    SERVERS[name] = Server(outcomes, serve, limits)
