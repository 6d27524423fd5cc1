"""Servers at git:// that break the protocol in one named way each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

from pipeline.git.limits import MIB
from tests.fetch.handmade import CAPABILITIES
from tests.hostile.spec import (
    CORRUPT,
    EXACT,
    LIMITS,
    LOST,
    MAIN,
    NOT_FOUND,
    OBJECT_FORMAT,
    OVER_LIMIT,
    PROTOCOL,
    SERVER_ERROR,
    TIMEOUT,
    Made,
    Outcome,
    add_server,
    server,
)
from tests.hostile.willing import read_command, read_greeting, ref_lines, side_band
from tests.support import bad_servers
from tests.support.bad_servers import FLUSH, pkt
from tests.support.sockets import Line, Listener, listening

Served = AbstractContextManager[Listener]

HASTY = LIMITS.model_copy(update={"silence_s": 2.0})
SHORT = LIMITS.model_copy(update={"total_s": 4.0})
TIGHT = LIMITS.model_copy(update={"refs_bytes": MIB, "pack_bytes": 2 * MIB})
NO_GIT = (PROTOCOL, LOST)
"""Outcomes of servers that do not speak git: they may also seem to be cut off."""


def _simple() -> tuple[bytes, bytes]:
    """The ls-refs answer without its flush, and the pack, of a repository with one commit."""
    made = Made()
    refs = {b"HEAD": (tip := made.commit()), MAIN: tip}
    return b"".join(map(pkt, ref_lines(made, refs))), made.sent_pack()


LISTING, PACK = _simple()
SENT_PACK = pkt(b"packfile\n") + b"".join(side_band(PACK)) + FLUSH


def says(
    greeting: bytes = CAPABILITIES, listing: bytes = LISTING + FLUSH, answer: bytes = SENT_PACK, *, stay: bool = False
) -> Served:
    """Sends these capabilities and answers to ``ls-refs`` and ``fetch``; then hangs up, or stays silently connected."""

    def handle(line: Line) -> None:
        read_greeting(line)
        line.send(greeting)
        while command := read_command(line):
            if command[0] == b"command=ls-refs":
                line.send(listing)
            else:
                line.send(answer)
                break
        if stay:
            line.server.ended.wait()

    return listening(handle)


def at_once(data: bytes) -> Served:
    """Sends this whatever is requested, and reads until the client leaves."""
    return says(data, b"", b"")


def endless(stage: str, chunk: Callable[[int], bytes]) -> Served:
    """Repeats ``chunk``, called with its number, instead of ``greeting``, ``listing`` or ``answer``."""

    def chunks() -> Iterator[bytes]:
        return (b"".join(chunk(at) for at in range(start, start + 500)) for start in itertools.count(0, 500))

    def handle(line: Line) -> None:
        read_greeting(line)
        if stage == "greeting":
            line.send_forever(chunks())
        line.send(CAPABILITIES)
        while command := read_command(line):
            if command[0] == b"command=fetch" or stage == "listing":
                line.send_forever(chunks())
            else:
                line.send(LISTING + FLUSH)

    return listening(handle)


def _capabilities(*lines: bytes) -> bytes:
    return b"".join(map(pkt, lines)) + FLUSH


GREETINGS: dict[str, tuple[tuple[Outcome, ...], bytes]] = {
    "of_version_0": ((EXACT, *NO_GIT), LISTING[:46] + b"\0side-band-64k ofs-delta\n" + FLUSH),
    "of_version_1": ((EXACT, CORRUPT, *NO_GIT), pkt(b"version 1\n") + LISTING + FLUSH),
    "of_version_3": (NO_GIT, _capabilities(b"version 3\n", b"fetch\n")),
    "of_version_minus_1": (NO_GIT, _capabilities(b"version -1\n", b"fetch\n")),
    "of_no_capability": ((EXACT, *NO_GIT), _capabilities(b"version 2\n")),
    "without_fetch": ((EXACT, *NO_GIT), _capabilities(b"version 2\n", b"ls-refs\n")),
    "of_capabilities_of_noise": (
        (EXACT, *NO_GIT),
        _capabilities(b"version 2\n", b"\xff\0\x01=\n", b"fetch\n", b"=\n", b"ls-refs=\n"),
    ),
    "of_a_capability_of_60_kb": (
        (EXACT, *NO_GIT),
        _capabilities(b"version 2\n", b"x" * 60_000, b"ls-refs\n", b"fetch\n"),
    ),
    "of_another_object_format": (
        (OBJECT_FORMAT,),
        _capabilities(b"version 2\n", b"ls-refs\n", b"fetch\n", b"object-format=sha256\n"),
    ),
    "of_two_object_formats": (
        (EXACT, OBJECT_FORMAT, PROTOCOL),
        _capabilities(b"version 2\n", b"ls-refs\n", b"fetch\n", b"object-format=sha1\n", b"object-format=sha256\n"),
    ),
    "of_an_unknown_object_format": (
        (EXACT, OBJECT_FORMAT, PROTOCOL),
        _capabilities(b"version 2\n", b"ls-refs\n", b"fetch\n", b"object-format=md5\n"),
    ),
    "of_packfile_uris": (
        (EXACT,),
        _capabilities(b"version 2\n", b"ls-refs\n", b"fetch=packfile-uris shallow filter\n", b"object-format=sha1\n"),
    ),
    "of_bundle_uri": (
        (EXACT,),
        _capabilities(b"version 2\n", b"bundle-uri\n", b"ls-refs\n", b"fetch\n", b"object-format=sha1\n"),
    ),
    "of_ssh": (NO_GIT, b"SSH-2.0-OpenSSH_9.2\r\n"),
    "of_http": (NO_GIT, b"HTTP/1.1 200 OK\r\n\r\n"),
    "of_zeros": (NO_GIT, bytes(100_000)),
    "of_nothing": ((LOST, TIMEOUT), b""),
    "of_a_flush": ((EXACT,), FLUSH),
    "of_flushes": ((EXACT, *NO_GIT), FLUSH * 10_000),
    "of_an_error": ((SERVER_ERROR,), pkt(b"ERR go away\n")),
    "of_an_error_of_controls": ((SERVER_ERROR,), pkt(b"ERR \x1b]0;x\x07\x00\xff\r\n" + b"w" * 60_000)),
    "of_an_error_not_found": ((NOT_FOUND,), pkt(b"ERR repository not found\n")),
    "of_an_error_later": ((SERVER_ERROR, *NO_GIT), pkt(b"version 2\n") + pkt(b"ERR later\n")),
}
"""Greetings: what the server sends before any request."""

LENGTHS = {
    "0001": b"0001",
    "0002": b"0002",
    "0003": b"0003",
    "0004": b"0004",
    "fff1": b"fff1" + b"x" * 65_517,
    "ffff": b"ffff" + b"x" * 65_531,
    "in_capitals": b"002F" + b"x" * 43,
    "of_letters": b"zzzz",
    "with_a_sign": b"-001",
    "with_plus": b"+00f" + b"x" * 11,
    "with_underscore": b"1_00" + b"x" * 252,
    "with_blanks": b"  2f" + b"x" * 43,
    "with_prefix": b"0x1f" + b"x" * 27,
    "of_nul": b"\0\0\0\0",
    "of_other_digits": "\u0661\u0661".encode(),
}
"""Odd pkt-lines, put before the first and inside each answer."""

LISTINGS: dict[str, tuple[tuple[Outcome, ...], bytes]] = {
    "without_flush": ((LOST, TIMEOUT, PROTOCOL), LISTING),
    "ended_by_delimiter": ((LOST, TIMEOUT, PROTOCOL, EXACT), LISTING + b"0001"),
    "ended_by_response_end": ((LOST, TIMEOUT, PROTOCOL, EXACT), LISTING + b"0002"),
    "with_an_error": ((SERVER_ERROR,), pkt(b"ERR no refs today\n")),
    "with_an_error_inside": ((SERVER_ERROR, PROTOCOL), LISTING + pkt(b"ERR no refs today\n") + FLUSH),
    "with_a_page": (NO_GIT, b"<html></html>"),
    "twice": ((EXACT, *NO_GIT), LISTING + FLUSH + LISTING + FLUSH),
}

ANSWERS: dict[str, tuple[tuple[Outcome, ...], bytes]] = {
    "empty": ((*NO_GIT, CORRUPT), FLUSH),
    "cut": ((LOST, CORRUPT), SENT_PACK[:-30]),
    "without_flush": ((EXACT, LOST, TIMEOUT), SENT_PACK[: -len(FLUSH)]),
    "without_header": ((EXACT, *NO_GIT, CORRUPT), b"".join(side_band(PACK)) + FLUSH),
    "raw": ((*NO_GIT, CORRUPT), pkt(b"packfile\n") + PACK),
    "with_an_error": ((SERVER_ERROR,), pkt(b"ERR not our ref\n")),
    "fatal": ((SERVER_ERROR,), pkt(b"packfile\n") + pkt(b"\3out of memory\n") + FLUSH),
    "fatal_in_the_pack": ((SERVER_ERROR,), pkt(b"packfile\n") + pkt(b"\1" + PACK[:60]) + pkt(b"\3")),
    "with_band_4": ((*NO_GIT, CORRUPT), pkt(b"packfile\n") + pkt(b"\4" + PACK) + FLUSH),
    "with_band_0": ((*NO_GIT, CORRUPT), pkt(b"packfile\n") + pkt(b"\0" + PACK) + FLUSH),
    "with_an_empty_band": ((EXACT, *NO_GIT, CORRUPT), pkt(b"packfile\n") + b"0004" + SENT_PACK[13:]),
    "with_controls_as_progress": (
        (EXACT,),
        pkt(b"packfile\n") + pkt(b"\2\x1b]0;owned\x07\x1b[2J\xff\n") + SENT_PACK[13:],
    ),
    "with_acknowledgments": (
        (EXACT, *NO_GIT),
        pkt(b"acknowledgments\n") + pkt(b"NAK\n") + pkt(b"ready\n") + b"0001" + SENT_PACK,
    ),
    "with_an_ack_of_noise": (
        (EXACT, *NO_GIT),
        pkt(b"acknowledgments\n") + pkt(b"ACK \xff\xfe\n") + pkt(b"ready\n") + b"0001" + SENT_PACK,
    ),
    "with_shallow_lines": (
        (EXACT, *NO_GIT),
        pkt(b"shallow-info\n") + pkt(b"shallow " + b"1" * 40) + pkt(b"unshallow zz") + b"0001" + SENT_PACK,
    ),
    "with_wanted_refs": (
        (EXACT, *NO_GIT),
        pkt(b"wanted-refs\n") + pkt(b"1" * 40 + b" refs/heads/x\n") + b"0001" + SENT_PACK,
    ),
    "with_packfile_uris": (
        (EXACT, *NO_GIT, CORRUPT),
        pkt(b"packfile-uris\n") + pkt(b"1" * 40 + b" file:///etc/passwd\n") + b"0001" + SENT_PACK,
    ),
    "with_an_unknown_section": ((EXACT, *NO_GIT), pkt(b"surprise\n") + pkt(b"x") + b"0001" + SENT_PACK),
    "of_two_packs": ((EXACT, *NO_GIT, CORRUPT), SENT_PACK[: -len(FLUSH)] + b"".join(side_band(PACK)) + FLUSH),
    "with_the_listing_again": (NO_GIT, LISTING + FLUSH),
}

ENDLESS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "capabilities": ("greeting", lambda at: pkt(b"version 2\n" if at == 0 else b"x%d\n" % at)),
    "flushes": ("greeting", lambda at: FLUSH),
    "refs": ("listing", lambda at: pkt(b"%040x refs/heads/%d\n" % (at + 1, at))),
    "refs_of_one_name": ("listing", lambda at: pkt(b"%040x refs/heads/main\n" % (at + 1))),
    "refs_not_asked_for": ("listing", lambda at: pkt(b"%040x refs/pull/%d/head\n" % (at + 1, at))),
    "progress": ("answer", lambda at: pkt(b"\2..." if at else b"packfile\n")),
    "empty_lines": ("answer", lambda at: b"0004" if at else pkt(b"packfile\n")),
    "acknowledgments": ("answer", lambda at: pkt(b"ACK %040x\n" % at if at else b"acknowledgments\n")),
    "shallow_lines": ("answer", lambda at: pkt(b"shallow %040x\n" % at if at else b"shallow-info\n")),
    "sections": ("answer", lambda at: pkt(b"surprise\n") + b"0001"),
    "empty_pack_data": ("answer", lambda at: pkt(b"\1" if at else b"packfile\n")),
    "pack_data": ("answer", lambda at: pkt(b"\1" + bytes(1000)) if at else pkt(b"packfile\n") + pkt(b"\1PACK")),
}

ENDINGS: dict[str, tuple[Outcome, ...]] = {
    "flushes": (EXACT,),
    "acknowledgments": (PROTOCOL, OVER_LIMIT),
    "empty_lines": (CORRUPT, PROTOCOL, OVER_LIMIT),
    "sections": (CORRUPT, PROTOCOL, OVER_LIMIT),
}
"""Outcomes where git's protocol allows an early end: the first flush ends an empty list of refs."""

for name, (outcomes, data) in GREETINGS.items():
    add_server(f"git_greeting_{name}", partial(says, data), *outcomes, limits=HASTY)
for name, data in LENGTHS.items():
    add_server(f"git_length_{name}_first", partial(at_once, data + CAPABILITIES), EXACT, *NO_GIT, limits=HASTY)
    listing = data + LISTING + FLUSH
    add_server(f"git_length_{name}_among_refs", partial(says, listing=listing), EXACT, *NO_GIT, TIMEOUT, limits=HASTY)
    answer = pkt(b"packfile\n") + data + SENT_PACK[13:]
    add_server(f"git_length_{name}_in_pack", partial(says, answer=answer), EXACT, *NO_GIT, CORRUPT, limits=HASTY)
for name, (outcomes, data) in LISTINGS.items():
    add_server(f"git_refs_{name}", partial(says, listing=data), *outcomes, limits=HASTY)
for name, (outcomes, data) in ANSWERS.items():
    add_server(f"git_pack_{name}", partial(says, answer=data), *outcomes, limits=HASTY)
for name, (stage, chunk) in ENDLESS.items():
    add_server(f"git_endless_{name}", partial(endless, stage, chunk), *ENDINGS.get(name, (OVER_LIMIT,)), limits=TIGHT)

for scheme in ("git", "http"):
    add_server(f"{scheme}_silent", partial(bad_servers.silent, scheme), TIMEOUT, limits=HASTY)
    add_server(f"{scheme}_trickle", partial(bad_servers.trickle, scheme, interval_s=0.05), TIMEOUT, limits=SHORT)
    add_server(f"{scheme}_reset", partial(bad_servers.reset, scheme), LOST)
    add_server(f"{scheme}_endless_pack", partial(bad_servers.endless_pack, scheme), OVER_LIMIT, limits=TIGHT)


@server(TIMEOUT, limits=HASTY)
def git_silent_after_refs() -> Served:
    return says(answer=b"", stay=True)


@server(TIMEOUT, limits=HASTY)
def git_silent_inside_the_pack() -> Served:
    return says(answer=SENT_PACK[:80], stay=True)


@server(EXACT, LOST, TIMEOUT, CORRUPT, limits=HASTY)
def git_silent_after_the_pack() -> Served:
    """Sends everything except the flush, and keeps the connection open."""
    return says(answer=SENT_PACK[: -len(FLUSH)], stay=True)


@server(EXACT)
def git_one_byte_a_segment() -> Served:
    """Everything is correct, but in very small pieces."""

    def handle(line: Line) -> None:
        read_greeting(line)
        line.send(CAPABILITIES)
        while command := read_command(line):
            data = LISTING + FLUSH if command[0] == b"command=ls-refs" else SENT_PACK
            line.send_forever(bytes([byte]) for byte in data)

    return listening(handle)


@server(LOST, PROTOCOL, TIMEOUT, SERVER_ERROR, limits=HASTY)
def git_that_echoes() -> Served:
    """Sends back whatever it receives."""

    def handle(line: Line) -> None:
        while data := line.socket.recv(65_536):
            line.send(data)

    return listening(handle)
