"""One conversation with one server: its refs, and a pack if we want anything."""

from __future__ import annotations

import re
from binascii import hexlify, unhexlify
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, cast

from dulwich.client import FetchPackResult
from dulwich.object_store import GraphWalker

from pipeline.git.conditions import Conditions
from pipeline.git.errors import (
    LimitExceeded,
    ObjectFormatRefused,
    PackCorrupt,
    ProtocolError,
)
from pipeline.git.host_turn import HostTurn
from pipeline.git.limits import Limits
from pipeline.git.network import Deadline, Dialer
from pipeline.git.transport import Meter, open_client, origin_errors
from pipeline.model.errors import ScratchFailed
from pipeline.rules.negotiation import PEELED, FetchPlan, Ref, Shown, shown_refs, wanted_refs

if TYPE_CHECKING:
    from dulwich.client import DetermineWantsFunc

TRAILER_BYTES = 20
SHA256_DIGITS = 64
_SHA1 = re.compile(rb"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Received:
    """What a server sent.

    Attributes:
        refs: the wanted refs.
        peeled: what annotated tags among them finally point at, by name; none over git:// with version 2.
        pack_bytes: 0 when no pack was requested.
        left_out: names of wanted refs that git calls funny; see ``Shown``.
        moved_to: the URL that the server redirected to for good, None if that is still the origin.
    """

    refs: Mapping[bytes, Ref]
    pack_bytes: int
    left_out: tuple[bytes, ...] = ()
    moved_to: str | None = None
    peeled: Mapping[bytes, bytes] = field(default_factory=dict)


def exchange(
    turn: HostTurn,
    decide: Callable[[Mapping[bytes, bytes]], FetchPlan],
    spool: Path,
    conditions: Conditions,
    take: Callable[[int], None] = lambda size: None,
) -> Received:
    """Ask a server for its refs, decide, and receive a verified pack into ``spool`` if the decision has wants.

    Args:
        turn: with the origin's URL; its deadline is already running.
        decide: receives the wanted refs, name to id, without dangling ones; called once.
        spool: file to write; it is created with the first byte of a pack.
        conditions: limits and the like.
        take: called with the number of bytes before they are written; may raise to stop.

    Raises:
        OriginError: one of its subclasses, whatever the server did.
        ScratchFailed: ``spool`` cannot be written.
    """
    limits, deadline = conditions.limits, turn.deadline
    dialer = Dialer(conditions.policy, deadline, limits.connect_s, limits.silence_s)
    meter = Meter(limits.refs_bytes)
    offers = _Offers()
    asked_for_pack = False
    advertised: dict[bytes, bytes] = {}
    peeled: dict[bytes, bytes] = {}
    with turn.held(), origin_errors(dialer, meter), _Spool(spool, limits, deadline, take) as sink:
        client, path = open_client(dialer, turn, meter, conditions)

        def determine_wants(refs: Mapping[bytes, bytes], depth: int | None = None) -> list[bytes]:
            nonlocal asked_for_pack
            if any(len(target) == SHA256_DIGITS for target in refs.values()):
                raise ObjectFormatRefused("the repository uses SHA-256 ids")
            meter.listing = False
            advertised.update(advertised_ids(wanted_refs(refs, conditions.prefixes)))
            peeled.update(_peeled(refs, advertised))
            plan = decide(advertised)
            offers.rest = map(hexlify, plan.offers)
            asked_for_pack = bool(plan.wants)
            return list(map(hexlify, plan.wants))

        def write(data: bytes) -> int:
            if data:
                meter.packed()
            return sink.write(data)

        try:
            result = client.fetch_pack(
                path,
                cast("DetermineWantsFunc", determine_wants),
                cast(GraphWalker, offers),
                write,
                ref_prefix=list(conditions.prefixes),
            )
        finally:
            client.close()
            deadline.hang_up()
        if result.object_format not in (None, "sha1"):
            raise ObjectFormatRefused(f"the repository uses {result.object_format} ids")
        if asked_for_pack:
            sink.verify()
        shown = _shown(result, advertised, conditions.prefixes)
        return Received(shown.refs, sink.size, shown.left_out, client.moved_to, peeled)


def advertised_ids(refs: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """The refs with 20-byte ids instead of hexadecimal digits.

    Raises:
        ProtocolError: an id is not 40 lower-case hexadecimal digits.
    """
    for name, digits in refs.items():
        if not _SHA1.fullmatch(digits):
            raise ProtocolError(f"a bad ref advertisement: {name!r} has the id {digits[:80]!r}")
    return {name: unhexlify(digits) for name, digits in refs.items()}


def _peeled(refs: Mapping[bytes, bytes], names: Iterable[bytes]) -> dict[bytes, bytes]:
    """Where annotated tags among these lead. What is no id is left out: nothing that is archived depends on it."""
    found = ((name, refs.get(name + PEELED, b"")) for name in names)
    return {name: unhexlify(digits) for name, digits in found if _SHA1.fullmatch(digits)}


def _shown(result: FetchPackResult, advertised: Mapping[bytes, bytes], prefixes: Sequence[bytes]) -> Shown:
    symrefs: dict[bytes, bytes] = {bytes(name): bytes(to) for name, to in (result.symrefs or {}).items()}
    refs = {bytes(name): advertised.get(name) for name in result.refs or {}}
    return shown_refs(refs, symrefs, prefixes)


class _Offers:
    """Haves in our order, 40 digits each, for dulwich's negotiation; its own walker takes them out of a set."""

    rest: Iterator[bytes] = iter(())

    def __next__(self) -> bytes | None:
        return next(self.rest, None)

    def ack(self, oid: bytes) -> None:
        """The server has it; the order needs no change."""

    def nak(self) -> None:
        """The server has none of them."""


class _Spool:
    """Writes a pack to a file while checking its length and its trailing SHA-1."""

    def __init__(self, path: Path, limits: Limits, deadline: Deadline, take: Callable[[int], None]) -> None:
        self._path, self._limit, self._deadline, self._take = path, limits.pack_bytes, deadline, take
        self._file: BinaryIO | None = None
        self._hash = sha1(usedforsecurity=False)
        self._tail = b""
        self.size = 0

    def __enter__(self) -> _Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._file is not None:
            with suppress(OSError) if error is not None else self._ours():
                self._file.close()

    def write(self, data: bytes) -> int:
        self.size += len(data)
        if self.size > self._limit:
            raise LimitExceeded(f"the pack exceeds {self._limit} bytes")
        self._take(len(data))
        self._deadline.check()
        with self._ours():
            if self._file is None:
                self._file = self._path.open("wb", buffering=1 << 20)
            self._file.write(data)
        held = self._tail + data
        self._hash.update(memoryview(held)[:-TRAILER_BYTES])
        self._tail = held[-TRAILER_BYTES:]
        return len(data)

    def verify(self) -> None:
        """Compare the computed hash with the pack's trailing one."""
        if self._hash.digest() != self._tail:
            raise PackCorrupt(f"the checksum of the pack does not match after {self.size} bytes")

    @contextmanager
    def _ours(self) -> Iterator[None]:
        """An error in this block is our disk's and no server's."""
        try:
            yield
        except OSError as error:
            raise ScratchFailed(str(self._path), error.strerror or str(error)) from None
