"""Bytes that pass the first check of a target: hypothesis draws them, and atheris starts from them."""

from __future__ import annotations

import hashlib
from typing import Final

from hypothesis import strategies as st

from tests.fetch.handmade import CAPABILITIES
from tests.git.packs import BLOB, COMMIT, append, full, ofs_delta, pack_of
from tests.hostile.servers import LISTING, SENT_PACK
from tests.hostile.web_servers import ADVERTISEMENT, BODIES
from tests.model.strategies import HOSTILE
from tests.support.bad_servers import FLUSH, pkt

NOISE: Final = st.binary(max_size=40)

_TREE_PIECES = st.sampled_from(
    [
        b"100644 ",
        b"40000 ",
        b"00000000040000 ",
        b"160000 ",
        b"8",
        b" ",
        b"\0",
        b"a",
        b"a/b",
        b".git",
        b"\1" * 20,
        b"\1" * 19,
    ]
)
_NAME_PIECES = st.sampled_from(
    [
        b"HEAD",
        b"refs/heads/",
        b"refs/tags/",
        b"main",
        b"..",
        b".lock",
        b"/",
        b"@{",
        b"\x7f",
        b"^{}",
        b" ",
        b"\n",
        b"1" * 40,
    ]
)
_LINES = st.sampled_from(
    [
        FLUSH,
        b"0001",
        b"0002",
        b"0003",
        b"0004",
        b"fff1",
        b"+00f",
        b"1_00",
        pkt(b"version 2\n"),
        pkt(b"version 1\n"),
        pkt(b"fetch=shallow\n"),
        pkt(b"object-format=sha256\n"),
        pkt(b"1" * 40 + b" HEAD symref-target:refs/heads/main\n"),
        pkt(b"1" * 40 + b" refs/tags/v1 peeled:zz\n"),
        pkt(b"unborn HEAD symref-target:refs/heads/a..b\n"),
        pkt(b"ERR no\n"),
        pkt(b"packfile\n"),
        pkt(b"acknowledgments\n"),
        pkt(b"NAK\n"),
        pkt(b"ready\n"),
        pkt(b"shallow-info\n"),
        pkt(b"\1PACK"),
        pkt(b"\2...\r"),
        pkt(b"\3died\n"),
        pkt(b"\1"),
    ]
)
_WORDS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 302 Moved\r\n",
        b"HTTP/1.0 500 x\r\n",
        b"\r\n",
        b"Location: http://10.0.0.1/x\r\n",
        b"Content-Type: application/x-git-upload-pack-advertisement\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n",
        b"-1\r\n",
        b"ffff\r\n",
        b"0\r\n\r\n",
        ADVERTISEMENT,
    ]
)
_ENTRY_PIECES = st.tuples(st.sampled_from(b"\x01\x02\x03\x04\x06\x07\x0b\x0e\x0f\x16\x26"), NOISE).map(
    lambda pair: bytes([pair[0], len(pair[1])]) + pair[1]
)
_SIMPLE = CAPABILITIES + LISTING + FLUSH + SENT_PACK


def _mixed(pieces: st.SearchStrategy[bytes], most: int = 12) -> st.SearchStrategy[bytes]:
    return st.lists(pieces | NOISE, max_size=most).map(b"".join)


def _changed(whole: bytes) -> st.SearchStrategy[bytes]:
    """A few bytes changed, removed or inserted."""

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        made = whole
        for at, cut, put in changes:
            start = at % (len(made) + 1)
            made = made[:start] + put + made[start + cut :]
        return made

    change = st.tuples(st.integers(0, 1 << 20), st.integers(0, 4), st.binary(max_size=4))
    return st.lists(change, max_size=4).map(apply)


_BASE = full(BLOB, b"base")
PACK: Final = pack_of([full(COMMIT, b"tree " + b"1" * 40), _BASE, ofs_delta(len(_BASE), append(b"base", b"more"))])
MANIFEST: Final = (
    b'{"load":"2026-11-01","night":"2026-11-01","run_id":"r","bucket":0,"host":"h","written_at":"2026-11-01T00:00:00Z",'
    b'"fetch_s":1.5,"files":[{"table":"blobs","path":"runs/x","rows":1,"size_bytes":2,"raw_bytes":3,"sha256":"00"}],'
    b'"visits":{"origins":{"full":1},"objects":1,"wire_bytes":1,"failed":[],"damaged":[]}}'
)

GENERATORS: Final[dict[str, st.SearchStrategy[bytes]]] = {
    "commits": HOSTILE,
    "tags": HOSTILE,
    "trees": _mixed(_TREE_PIECES),
    "packs": st.just(b"\0").flatmap(lambda flag: _mixed(_ENTRY_PIECES).map(flag.__add__))
    | _changed(PACK[:-20]).map(b"\1".__add__),
    "refs": st.lists(_mixed(_NAME_PIECES, 6), max_size=6).map(b"\n".join),
    "git_answers": _mixed(_LINES) | _mixed(_LINES).map(CAPABILITIES.__add__) | _changed(_SIMPLE),
    "http_answers": _mixed(_WORDS) | _mixed(_LINES) | _changed(ADVERTISEMENT),
    "records": _changed(MANIFEST),
    "loads": st.text(max_size=24).map(str.encode) | _changed(b"2026-11-01-backfill-3"),
    "parquet_files": st.binary(min_size=4, max_size=16),
}

_WHO = b"A U Thor <a@b> 1 +0100\n"
COMMIT_BODY: Final = (
    b"tree " + b"1" * 40 + b"\nparent " + b"2" * 40 + b"\nauthor " + _WHO + b"committer " + _WHO
    + b"encoding UTF-7\ngpgsig -----BEGIN\n \n -----END\nmergetag object " + b"3" * 40 + b"\n type tag\n"
    + b"\nsubject\n\xff\n"
)  # fmt: skip
TAG_BODY: Final = b"object " + b"1" * 40 + b"\ntype commit\ntag v1\ntagger " + _WHO + b"\nmessage\n\xff"
TREE_BODY: Final = b"100644 a\0" + b"\1" * 20 + b"00000000040000 b\0" + b"\2" * 20 + b"160000 c/..\0" + b"\3" * 20

SEEDS: Final[dict[str, list[bytes]]] = {
    "commits": [COMMIT_BODY, COMMIT_BODY.replace(b"parent", b"parent ", 1), COMMIT_BODY.replace(b"UTF-7", b"latin1")],
    "tags": [TAG_BODY, TAG_BODY[:-1]],
    "trees": [TREE_BODY, TREE_BODY[:-1], TREE_BODY.replace(b"100644", b"0" * 30 + b"100644")],
    "packs": [b"\1" + PACK[:-20]],
    "git_answers": [_SIMPLE],
    "http_answers": [ADVERTISEMENT, *(whole for _, whole in BODIES.values() if len(whole) < 4000)],
    "records": [MANIFEST],
    "loads": [b"2026-11-01", b"2026-11-01-backfill-3"],
    "refs": [b"HEAD " + b"1" * 40 + b" refs/heads/main\nrefs/heads/main " + b"1" * 40],
    "parquet_files": [hashlib.sha1(b"%d" % n, usedforsecurity=False).digest() for n in range(4)],
}
"""Inputs that a coverage-guided search starts from, in addition to the corpus."""
