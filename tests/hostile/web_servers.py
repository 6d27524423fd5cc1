"""Servers at http:// that misbehave in one named way each."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import pyarrow as pa

from pipeline.git.limits import MIB
from tests.fetch.handmade import CAPABILITIES
from tests.hostile.servers import HASTY, LISTING, SENT_PACK, SHORT, TIGHT
from tests.hostile.spec import (
    ADDRESS,
    BLOCKED,
    CORRUPT,
    DUMB,
    EXACT,
    LOGIN,
    LOST,
    NOT_FOUND,
    OVER_LIMIT,
    PROTOCOL,
    RATE_LIMITED,
    SCHEME,
    SERVER_ERROR,
    TIMEOUT,
    Outcome,
    add_server,
    server,
)
from tests.support.bad_servers import ADVERTISEMENT_TYPE, FLUSH, RESULT_TYPE, pkt
from tests.support.sockets import Line, Listener, listening

Served = AbstractContextManager[Listener]
FAILED: Outcome = ("failed", "connection_failed")
UNKNOWN: Outcome = ("failed", "unknown_host")
NO_HTTP = (PROTOCOL, LOST)

ADVERTISEMENT = pkt(b"# service=git-upload-pack\n") + FLUSH + CAPABILITIES


def head(kind: str, *headers: str, status: str = "200 OK", length: int | str | None = None) -> bytes:
    """The head of a response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers]
    lines += [] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


def whole(kind: str, body: bytes, *headers: str) -> bytes:
    return head(kind, *headers, length=len(body)) + body


def web(
    advertisement: bytes = whole(ADVERTISEMENT_TYPE, ADVERTISEMENT),
    listing: bytes = whole(RESULT_TYPE, LISTING + FLUSH),
    answer: bytes = whole(RESULT_TYPE, SENT_PACK),
) -> Served:
    """Answers the three requests of a fetch with exactly these bytes, and closes after the last or a bad request."""

    def handle(line: Line) -> None:
        while request := line.read_head():
            if request.startswith(b"GET"):
                line.send(advertisement)
            else:
                body = read_body(line, request)
                line.send(answer if b"command=fetch" in body else listing)

    return listening(handle, "http")


def read_body(line: Line, request: bytes) -> bytes:
    """The body of a request, by its length or in chunks."""
    lowered = request.lower()
    if b"content-length:" in lowered:
        return line.reader(int(lowered.partition(b"content-length:")[2].split()[0]))
    body = b""
    while (size := int(_line(line), 16)) > 0:
        body += line.reader(size)
        line.reader(2)
    line.reader(2)
    return body


def _line(line: Line) -> bytes:
    found = b""
    while not found.endswith(b"\r\n"):
        byte = line.reader(1)
        if not byte:
            raise OSError
        found += byte
    return found[:-2]


def chunked(body: bytes, size: int = 1000) -> bytes:
    parts = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def encoded(encoding: str, body: bytes) -> Served:
    """The advertisement with a Content-Encoding."""
    return web(whole(ADVERTISEMENT_TYPE, body, f"Content-Encoding: {encoding}"))


def packed_zeros(megabytes: int) -> bytes:
    """A gzip stream of ``megabytes`` mebibytes of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = b"".join(packer.compress(bytes(MIB)) for _ in range(megabytes))
    return packer.compress(b"") + zeros + packer.flush()


def endless_answer(start: bytes, chunk: Callable[[int], bytes]) -> Served:
    def handle(line: Line) -> None:
        line.read_head()
        line.send(start)
        line.send_forever(b"".join(chunk(at) for at in range(n, n + 500)) for n in itertools.count(0, 500))

    return listening(handle, "http")


STATUSES: dict[int, tuple[Outcome, ...]] = {
    201: (PROTOCOL,),
    202: (PROTOCOL,),
    203: (PROTOCOL,),
    204: NO_HTTP,
    205: NO_HTTP,
    206: (PROTOCOL,),
    299: (PROTOCOL,),
    300: (PROTOCOL,),
    304: NO_HTTP,
    305: (PROTOCOL,),
    399: (PROTOCOL,),
    400: (PROTOCOL,),
    401: (LOGIN,),
    402: (PROTOCOL,),
    403: (RATE_LIMITED,),
    404: (NOT_FOUND,),
    405: (PROTOCOL,),
    407: (LOGIN,),
    410: (NOT_FOUND,),
    413: (PROTOCOL,),
    429: (RATE_LIMITED,),
    451: (BLOCKED,),
    499: (PROTOCOL,),
    500: (SERVER_ERROR,),
    501: (SERVER_ERROR,),
    503: (SERVER_ERROR,),
    504: (SERVER_ERROR,),
    599: (SERVER_ERROR,),
    999: (SERVER_ERROR, PROTOCOL),
    0: NO_HTTP,
    -1: NO_HTTP,
}
for code, outcomes in STATUSES.items():
    told = head(ADVERTISEMENT_TYPE, "Retry-After: 99999", status=f"{code} As Told", length=0)
    add_server(f"http_status_{code}", partial(web, told), *outcomes, limits=HASTY)


def redirect(location: str, code: int = 302) -> Served:
    """Redirects everything; ``%r`` is the request's own path, ``%s`` the rest of it after the repository."""

    def handle(line: Line) -> None:
        request = line.read_head()
        if not request.startswith((b"GET", b"POST")):
            return
        target = request.split(b" ")[1].decode("latin-1")
        tail = target.partition("/info/refs")[2]
        place = location.replace("%r", target).replace("%s", "/info/refs" + tail).replace("%p", str(line.server.port))
        line.send(head("text/html", f"Location: {place}", status=f"{code} Moved", length=0))

    return listening(handle, "http")


REDIRECTS: dict[str, tuple[tuple[Outcome, ...], str]] = {
    "to_itself": ((PROTOCOL,), "%r"),
    "to_a_longer_path": ((PROTOCOL,), "/x%r"),
    "to_nothing": ((PROTOCOL, LOST), ""),
    "to_a_private_address": ((ADDRESS,), "http://10.0.0.1/repo.git%s"),
    "to_the_metadata_address": ((ADDRESS,), "http://169.254.169.254/latest/meta-data%s"),
    "to_a_private_address_in_decimal": ((ADDRESS, UNKNOWN), "http://167772161/repo.git%s"),
    "to_a_private_address_in_octal": ((ADDRESS, UNKNOWN), "http://012.0.0.1/repo.git%s"),
    "to_an_ipv6_mapped_address": ((ADDRESS,), "http://[::ffff:10.0.0.1]/repo.git%s"),
    "to_ipv6_loopback": ((ADDRESS, FAILED), "http://[::1]:%p/repo.git%s"),
    "to_the_address_0": ((ADDRESS, FAILED), "http://0.0.0.0:1/repo.git%s"),
    "to_a_long_host": ((UNKNOWN, PROTOCOL), "http://" + "h" * 60_000 + ".invalid/repo.git%s"),
    "to_many_labels": ((UNKNOWN, PROTOCOL), "http://" + "h." * 20_000 + "invalid/repo.git%s"),
    "to_an_empty_label": ((UNKNOWN, PROTOCOL), "http://a..invalid/repo.git%s"),
    "to_a_host_of_controls": ((UNKNOWN, PROTOCOL, FAILED), "http://a\x01\x1b[2Jb.invalid/repo.git%s"),
    "to_a_login": ((FAILED,), "http://user:hunter2@127.0.0.1:1/repo.git%s"),
    "to_a_file": ((SCHEME, PROTOCOL), "file:///etc/passwd"),
    "to_ftp": ((SCHEME, PROTOCOL), "ftp://127.0.0.1/repo.git%s"),
    "to_git": ((SCHEME, PROTOCOL), "git://127.0.0.1/repo.git%s"),
    "to_javascript": ((SCHEME, PROTOCOL), "javascript:alert(1)"),
    "to_a_port_of_letters": ((PROTOCOL, SCHEME), "http://127.0.0.1:port/repo.git%s"),
    "to_port_0": ((FAILED, PROTOCOL), "http://127.0.0.1:0/repo.git%s"),
    "to_an_unclosed_bracket": ((PROTOCOL, SCHEME, UNKNOWN), "http://[::1/repo.git%s"),
    "to_a_closed_port": ((FAILED,), "http://127.0.0.1:1/repo.git%s"),
    "to_https_on_a_plain_port": ((FAILED, LOST, TIMEOUT), "https://127.0.0.1:%p/repo.git%s"),
}
for name, (outcomes, location) in REDIRECTS.items():
    add_server(f"http_redirect_{name}", partial(redirect, location), *outcomes, limits=HASTY)
for code in (301, 303, 307, 308):
    add_server(f"http_redirect_{code}_to_itself", partial(redirect, "%r", code), PROTOCOL, limits=HASTY)

BODIES: dict[str, tuple[tuple[Outcome, ...], bytes]] = {
    "type_in_capitals": ((EXACT,), whole("Application/X-Git-Upload-Pack-Advertisement", ADVERTISEMENT)),
    "type_with_charset": ((EXACT, PROTOCOL), whole(f"{ADVERTISEMENT_TYPE}; charset=utf-8", ADVERTISEMENT)),
    "type_of_another_service": (
        (EXACT, PROTOCOL),
        whole("application/x-git-receive-pack-advertisement", ADVERTISEMENT),
    ),
    "type_of_noise": ((PROTOCOL,), whole("\xff\x01/;;", ADVERTISEMENT)),
    "type_of_60_kb": ((PROTOCOL, LOST), whole("x" * 60_000, ADVERTISEMENT)),
    "type_of_files": ((DUMB,), whole("text/plain", b"1" * 40 + b"\trefs/heads/main\n")),
    "type_of_a_page": ((PROTOCOL,), whole("text/html", b"<html>")),
    "types_twice": ((EXACT, PROTOCOL), whole(ADVERTISEMENT_TYPE, ADVERTISEMENT, "Content-Type: text/html")),
    "no_service_line": ((EXACT, PROTOCOL), whole(ADVERTISEMENT_TYPE, CAPABILITIES)),
    "service_of_receive_pack": (
        (EXACT, PROTOCOL),
        whole(ADVERTISEMENT_TYPE, pkt(b"# service=git-receive-pack\n") + FLUSH + CAPABILITIES),
    ),
    "empty_body": (NO_HTTP, whole(ADVERTISEMENT_TYPE, b"")),
    "in_chunks": ((EXACT,), head(ADVERTISEMENT_TYPE, "Transfer-Encoding: chunked") + chunked(ADVERTISEMENT, 1)),
    "in_chunks_of_noise": (NO_HTTP, head(ADVERTISEMENT_TYPE, "Transfer-Encoding: chunked") + b"zz\r\nxx\r\n"),
    "in_chunks_of_minus_1": (
        (*NO_HTTP, TIMEOUT),
        head(ADVERTISEMENT_TYPE, "Transfer-Encoding: chunked") + b"-1\r\nxx\r\n",
    ),
    "in_a_chunk_of_a_terabyte": (
        (*NO_HTTP, TIMEOUT),
        head(ADVERTISEMENT_TYPE, "Transfer-Encoding: chunked") + b"ffffffffff\r\nxx",
    ),
    "in_chunks_with_a_length": (
        (EXACT, *NO_HTTP),
        head(ADVERTISEMENT_TYPE, "Transfer-Encoding: chunked", length=5) + chunked(ADVERTISEMENT),
    ),
    "length_too_long": ((*NO_HTTP, TIMEOUT, EXACT), head(ADVERTISEMENT_TYPE, length=10_000) + ADVERTISEMENT),
    "length_too_short": (NO_HTTP, head(ADVERTISEMENT_TYPE, length=50) + ADVERTISEMENT),
    "length_negative": ((EXACT, *NO_HTTP, TIMEOUT), head(ADVERTISEMENT_TYPE, length=-5) + ADVERTISEMENT),
    "length_of_noise": ((EXACT, *NO_HTTP, TIMEOUT), head(ADVERTISEMENT_TYPE, length="1e3") + ADVERTISEMENT),
    "lengths_that_differ": (
        (EXACT, *NO_HTTP, TIMEOUT),
        head(ADVERTISEMENT_TYPE, "Content-Length: 5", length=500) + ADVERTISEMENT,
    ),
    "length_of_30_digits": (
        (EXACT, *NO_HTTP, TIMEOUT, OVER_LIMIT),
        head(ADVERTISEMENT_TYPE, length="9" * 30) + ADVERTISEMENT,
    ),
    "no_status_line": ((*NO_HTTP, TIMEOUT), ADVERTISEMENT),
    "status_line_of_http_0_9": ((*NO_HTTP, TIMEOUT), b"<html>\r\n\r\n"),
    "status_line_of_http_2": ((*NO_HTTP, TIMEOUT), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "status_line_of_a_megabyte": (NO_HTTP, b"HTTP/1.1 200 " + b"x" * 1_000_000 + b"\r\n\r\n"),
    "a_header_of_a_megabyte": (NO_HTTP, head(ADVERTISEMENT_TYPE, "X: " + "x" * 1_000_000, length=0)),
    "headers_by_ten_thousand": (NO_HTTP, head(ADVERTISEMENT_TYPE, *(f"X-{n}: x" for n in range(10_000)), length=0)),
    "a_header_with_nul": ((EXACT, *NO_HTTP), whole(ADVERTISEMENT_TYPE, ADVERTISEMENT, "X: a\0b", "no colon here")),
    "cookies": ((EXACT,), whole(ADVERTISEMENT_TYPE, ADVERTISEMENT, "Set-Cookie: a=hunter2; Domain=.com")),
    "an_upgrade": ((EXACT, *NO_HTTP), whole(ADVERTISEMENT_TYPE, ADVERTISEMENT, "Upgrade: h2c", "Connection: Upgrade")),
    "a_link_elsewhere": ((EXACT,), whole(ADVERTISEMENT_TYPE, ADVERTISEMENT, "Content-Location: http://10.0.0.1/x")),
}
for name, (outcomes, told) in BODIES.items():
    add_server(f"http_{name}", partial(web, told), *outcomes, limits=HASTY)

ENCODINGS: dict[str, tuple[tuple[Outcome, ...], str, bytes]] = {
    "gzip": ((EXACT,), "gzip", gzip.compress(ADVERTISEMENT)),
    "gzip_with_noise": ((*NO_HTTP, OVER_LIMIT), "gzip", gzip.compress(ADVERTISEMENT)[:20] + b"noise" * 9),
    "gzip_that_is_none": (NO_HTTP, "gzip", ADVERTISEMENT),
    "gzip_in_gzip": ((EXACT, *NO_HTTP), "gzip, gzip", gzip.compress(gzip.compress(ADVERTISEMENT))),
    "gzip_twenty_times_named": (NO_HTTP, ", ".join(["gzip"] * 20), gzip.compress(ADVERTISEMENT)),
    "unknown_encoding": ((EXACT, *NO_HTTP), "x-none", ADVERTISEMENT),
    "zstd": ((EXACT, *NO_HTTP), "zstd", pa.compress(ADVERTISEMENT, "zstd", asbytes=True)),
    "zstd_that_is_none": ((EXACT, *NO_HTTP), "zstd", ADVERTISEMENT),
}
for name, (outcomes, encoding, data) in ENCODINGS.items():
    add_server(f"http_encoding_{name}", partial(encoded, encoding, data), *outcomes, limits=TIGHT)


@server(OVER_LIMIT, *NO_HTTP, limits=TIGHT)
def http_encoding_gzip_bomb() -> Served:
    return encoded("gzip", packed_zeros(200))


@server(OVER_LIMIT, *NO_HTTP, limits=TIGHT)
def http_encoding_deflate_bomb() -> Served:
    return encoded("deflate", zlib.compress(bytes(200 * MIB), 9))


@server(OVER_LIMIT, *NO_HTTP, limits=TIGHT)
def http_encoding_zstd_bomb() -> Served:
    return encoded("zstd", pa.compress(bytes(200 * MIB), "zstd", asbytes=True))


@server(OVER_LIMIT, *NO_HTTP, limits=TIGHT)
def http_encoding_zstd_bomb_of_pack() -> Served:
    answer = pa.compress(pkt(b"packfile\n") + pkt(b"\1PACK" + bytes(60_000)) * 2_000, "zstd", asbytes=True)
    return web(answer=whole(RESULT_TYPE, answer, "Content-Encoding: zstd"))


@server(OVER_LIMIT, limits=TIGHT)
def http_encoding_gzip_bomb_of_refs() -> Served:
    listing = gzip.compress(pkt(b"1" * 40 + b" refs/heads/" + b"n" * 60_000 + b"\n") * 2_000)
    return web(listing=whole(RESULT_TYPE, listing, "Content-Encoding: gzip"))


@server(OVER_LIMIT, limits=TIGHT)
def http_encoding_gzip_bomb_of_pack() -> Served:
    answer = gzip.compress(pkt(b"packfile\n") + pkt(b"\1PACK" + bytes(60_000)) * 2_000)
    return web(answer=whole(RESULT_TYPE, answer, "Content-Encoding: gzip"))


ENDLESS: dict[str, tuple[tuple[Outcome, ...], bytes, Callable[[int], bytes]]] = {
    "headers": (NO_HTTP, b"HTTP/1.1 200 OK\r\n", lambda at: b"X-%d: x\r\n" % at),
    "header_line": (NO_HTTP, b"HTTP/1.1 200 OK\r\nX: ", lambda at: b"x" * 100),
    "status_line": (NO_HTTP, b"HTTP/1.1 200 ", lambda at: b"x" * 100),
    "informational_answers": ((*NO_HTTP, TIMEOUT), b"", lambda at: b"HTTP/1.1 100 Continue\r\n\r\n"),
    "early_hints": ((*NO_HTTP, TIMEOUT), b"", lambda at: b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "chunks": (
        (OVER_LIMIT, TIMEOUT, *NO_HTTP),
        head(ADVERTISEMENT_TYPE, "Transfer-Encoding: chunked"),
        lambda at: b"4\r\n0008\r\n4\r\nabcd\r\n",
    ),
    "chunk_of_minus_1": (
        (OVER_LIMIT, TIMEOUT, *NO_HTTP),
        head(ADVERTISEMENT_TYPE, "Transfer-Encoding: chunked") + b"-1\r\n",
        lambda at: b"x" * 1000,
    ),
    "chunk_extensions": (
        (OVER_LIMIT, TIMEOUT, *NO_HTTP),
        head(ADVERTISEMENT_TYPE, "Transfer-Encoding: chunked") + b"4;",
        lambda at: b"x" * 100,
    ),
    "chunk_trailers": (
        (OVER_LIMIT, TIMEOUT, *NO_HTTP),
        head(ADVERTISEMENT_TYPE, "Transfer-Encoding: chunked") + b"4\r\n0008\r\n0\r\n",
        lambda at: b"x: y\r\n",
    ),
    "body_behind_a_redirect": (NO_HTTP, head("text/html", "Location: /x", status="302 Moved"), lambda at: b"x" * 100),
    "body_behind_a_404": ((NOT_FOUND,), head("text/html", status="404 Gone"), lambda at: b"x" * 100),
    "page": ((PROTOCOL,), head("text/html"), lambda at: b"x" * 100),
}
for name, (outcomes, start, chunk) in ENDLESS.items():
    add_server(
        f"http_endless_{name}", partial(endless_answer, start, chunk), *outcomes,
        limits=TIGHT.model_copy(update={"total_s": 3.0}),
    )  # fmt: skip

RESULTS: dict[str, tuple[tuple[Outcome, ...], bytes]] = {
    "type_of_a_page": ((EXACT, PROTOCOL), whole("text/html", LISTING + FLUSH)),
    "type_in_capitals": ((EXACT,), whole("Application/X-GIT-Upload-Pack-Result", LISTING + FLUSH)),
    "status_500": ((SERVER_ERROR,), head(RESULT_TYPE, status="500 No", length=0)),
    "status_404": ((NOT_FOUND,), head(RESULT_TYPE, status="404 No", length=0)),
    "redirect_of_a_post": (
        (PROTOCOL, LOST, ADDRESS),
        head("text/html", "Location: http://10.0.0.1/x", status="307 Moved", length=0),
    ),
    "redirect_of_a_post_to_get": (
        (PROTOCOL, LOST, ADDRESS),
        head("text/html", "Location: http://10.0.0.1/x", status="303 Moved", length=0),
    ),
}
for name, (outcomes, told) in RESULTS.items():
    add_server(f"http_refs_{name}", partial(web, listing=told), *outcomes, limits=HASTY)
add_server(
    "http_pack_type_in_capitals", partial(web, answer=whole("APPLICATION/X-GIT-Upload-Pack-Result", SENT_PACK)), EXACT
)
add_server(
    "http_pack_cut", partial(web, answer=whole(RESULT_TYPE, SENT_PACK)[:-40]), LOST, TIMEOUT, CORRUPT, limits=HASTY
)


@server(EXACT)
def http_that_closes_after_every_answer() -> Served:
    """Promises to keep the connection, and does not."""

    def handle(line: Line) -> None:
        request = line.read_head()
        if request.startswith(b"GET"):
            line.send(whole(ADVERTISEMENT_TYPE, ADVERTISEMENT, "Connection: keep-alive"))
        elif request:
            body = read_body(line, request)
            line.send(whole(RESULT_TYPE, SENT_PACK if b"command=fetch" in body else LISTING + FLUSH))

    return listening(handle, "http")


@server(EXACT)
def http_that_hears_every_second_request_and_hangs_up() -> Served:
    """Keeps the connection until it has received a second request, and answers only the first."""

    def handle(line: Line) -> None:
        request = line.read_head()
        if request.startswith(b"GET"):
            line.send(whole(ADVERTISEMENT_TYPE, ADVERTISEMENT))
        elif request:
            body = read_body(line, request)
            line.send(whole(RESULT_TYPE, SENT_PACK if b"command=fetch" in body else LISTING + FLUSH))
        read_body(line, line.read_head())

    return listening(handle, "http")


@server(LOST)
def http_that_never_answers_a_post() -> Served:
    """When asked once more, it hangs up again."""

    def handle(line: Line) -> None:
        while (request := line.read_head()).startswith(b"GET"):
            line.send(whole(ADVERTISEMENT_TYPE, ADVERTISEMENT))
        read_body(line, request)

    return listening(handle, "http")


@server(PROTOCOL, EXACT, LOST, SERVER_ERROR, ("failed", "pack_incomplete"))
def http_that_shows_other_refs_to_the_second_question() -> Served:
    """The list of refs differs each time; the pack fits neither list."""
    asked = itertools.count(1)

    def handle(line: Line) -> None:
        while request := line.read_head():
            if request.startswith(b"GET"):
                line.send(whole(ADVERTISEMENT_TYPE, ADVERTISEMENT))
                continue
            body = read_body(line, request)
            other = pkt(b"%040x refs/heads/main\n" % next(asked)) + FLUSH
            line.send(whole(RESULT_TYPE, SENT_PACK if b"command=fetch" in body else other))

    return listening(handle, "http")


@server(EXACT, PROTOCOL, LOST, TIMEOUT, limits=HASTY)
def http_that_answers_before_it_is_asked() -> Served:
    """Two answers to the first request, the second for a possible next request."""
    return web(whole(ADVERTISEMENT_TYPE, ADVERTISEMENT) + whole("text/html", b"smuggled") * 3)


@server(TIMEOUT, limits=HASTY)
def http_that_waits_before_the_pack() -> Served:
    return web(answer=head(RESULT_TYPE))


@server(TIMEOUT, PROTOCOL, limits=SHORT)
def http_with_headers_that_trickle() -> Served:
    """Sends a header now and then, until the time is up or there are too many."""

    def handle(line: Line) -> None:
        line.read_head()
        line.send(b"HTTP/1.1 200 OK\r\n")
        line.send_forever((b"X: %d\r\n" % at for at in range(10_000)), 0.05)

    return listening(handle, "http")
