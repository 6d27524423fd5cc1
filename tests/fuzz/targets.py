"""Fuzz targets: each takes any bytes and raises only if a promise is broken.

The promises: only documented errors, exactness, valid Unicode, and results that agree with other readers of the same
bytes. Whoever runs a target limits its time and memory.
"""

from __future__ import annotations

import hashlib
import socket
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from pipeline.git.conditions import Conditions
from pipeline.git.errors import OriginError, ProtocolError
from pipeline.git.exchange import advertised_ids, exchange
from pipeline.git.host_turn import HostTurn
from pipeline.git.limits import MIB, Limits
from pipeline.git.network import AddressPolicy, Deadline, Dialer
from pipeline.git.pack import Pack
from pipeline.model.commit import build_commit, parse_commit
from pipeline.model.layout import Load
from pipeline.model.links import commit_links, tag_link
from pipeline.model.manifest import Manifest
from pipeline.model.objects import ObjectType, object_id
from pipeline.model.tag import build_tag, parse_tag
from pipeline.model.tree import MalformedTree, entries_before_damage, iter_entries, kind_of
from pipeline.rules.negotiation import (
    HEAD,
    FetchPlan,
    changed_refs,
    describe_left_out,
    is_ref_name,
    plan_fetch,
    shown_refs,
    wanted_refs,
)
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.local import LocalStorage
from pipeline.storage.parquet import open_parquet_file
from tests.support.prefixes import PREFIXES

LIMITS: Final = Limits(
    connect_s=1, silence_s=1, total_s=5, refs_bytes=MIB, pack_bytes=MIB, blob_bytes=64 << 10, inflated_bytes=32 * MIB
)

Target = Callable[[bytes], None]


@cache
def scratch() -> Path:
    """A folder for this process, in memory if the system has a place for that."""
    shared = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=shared if shared.is_dir() else None))


def _fit_to_show(error: Exception, *, most: int = 1_000, naming: str = "") -> None:
    """An error is one short line that names its subject."""
    told = str(error)
    assert told.isprintable(), told
    assert len(told) < most
    assert naming in told


def commits(data: bytes) -> None:
    """Columns rebuild the exact bytes, are valid Unicode, and agree with the reader of links."""
    commit = parse_commit(data)
    assert build_commit(commit) == data
    links = commit_links(data)
    assert (commit.tree, list(commit.parents)) == (links.tree, links.parents)
    _valid(commit.author_name, commit.author_email, commit.committer_name, commit.committer_email, commit.message)
    _valid(commit.encoding, commit.signature, *(text for pair in commit.extra for text in pair))


def tags(data: bytes) -> None:
    """The same for annotated tags."""
    tag = parse_tag(data)
    assert build_tag(tag) == data
    assert tag.target == tag_link(data).target
    _valid(tag.target_type, tag.name, tag.tagger_name, tag.tagger_email, tag.message, tag.signature)
    _valid(*(text for pair in tag.extra for text in pair))


def _valid(*texts: str | None) -> None:
    pa.array(texts, pa.string())  # as rows are made; a lone surrogate raises
    assert not any(text and "\0" in text for text in texts)


def trees(data: bytes) -> None:
    """Entries are slices of the bytes, in order; all readers stop where the damage begins."""
    found = list(entries_before_damage(data))
    end = 0
    for mode, name, oid in found:
        kind_of(mode)
        assert mode >= 0
        assert len(oid) == 20
        rest = data.index(name + b"\0" + oid, end)
        assert int(data[end:rest].rstrip(b" ") or b"0", 8) % (1 << 32) == mode  # as git's unsigned number
        end = rest + len(name) + 21
    try:
        assert list(iter_entries(data)) == found
        assert end == len(data)
    except MalformedTree:
        assert end < len(data)


def packs(data: bytes) -> None:
    """A pack of any entries with a correct checksum yields objects with their own ids, or is reported as corrupt.

    The first byte says how the rest becomes a pack: unchanged, or as entries that are compressed first.
    """
    if not data:
        return
    body = data[1:] if data[0] % 2 else _entries(data[1:])
    path = scratch() / "fuzz.pack"
    path.write_bytes(body + hashlib.sha1(body, usedforsecurity=False).digest())
    seen_blob = False
    try:
        with Pack(path, limits=LIMITS, scratch=scratch(), memory_bytes=4096) as pack:
            for found in pack.objects():
                assert isinstance(found.type, ObjectType)
                seen_blob |= found.type is ObjectType.BLOB
                assert seen_blob == (found.type is ObjectType.BLOB), "something else came after a blob"
                if found.data is not None:
                    assert found.size == len(found.data)
                    assert found.oid == object_id(found.type, found.data)
    except OriginError as error:
        _fit_to_show(error)


def _entries(data: bytes) -> bytes:
    """Entries from pieces: a byte of type and flags, a byte of length, for deltas a base, then that many bytes."""
    body, count, at, starts = bytearray(), 0, 0, [0]
    while at + 2 <= len(data) and count < 64:
        head, size = data[at], data[at + 1]
        kind = head & 7
        piece = data[at + 2 : at + 2 + size]
        at += 2 + size
        starts.append(len(body))
        claimed = len(piece) + (head >> 3 & 1)
        body += bytes([kind << 4 | claimed & 15 | (128 if claimed > 15 else 0)])
        body += bytes([claimed >> 4]) if claimed > 15 else b""
        if kind == 6:
            far = len(body) - starts[-1 - (head >> 4) % len(starts)]
            body += bytes([far & 127])
        elif kind == 7:
            body += hashlib.sha1(piece, usedforsecurity=False).digest()
        body += zlib.compress(piece, 1)
        count += 1
    return b"PACK" + (2).to_bytes(4, "big") + count.to_bytes(4, "big") + bytes(body)


def refs(data: bytes) -> None:
    """Lines of ``name, id, target of a symbolic ref``: only names that git accepts are kept, others are reported."""
    advertised: dict[bytes, bytes | None] = {}
    symrefs: dict[bytes, bytes] = {}
    for line in data.split(b"\n")[:200]:
        name, _, rest = line.partition(b" ")
        oid, _, symref = rest.partition(b" ")
        advertised[name] = oid or None
        if symref:
            symrefs[name] = symref
    shown = shown_refs(advertised, symrefs, PREFIXES)
    for name, ref in shown.refs.items():
        assert name == HEAD or is_ref_name(name)
        assert ref.symref is None or ref.symref == HEAD or is_ref_name(ref.symref)
        assert ref.target == advertised[name]
    assert not set(shown.left_out) & shown.refs.keys()
    told = describe_left_out(shown.left_out)
    assert told.isprintable()
    assert len(told) < 400
    assert changed_refs(shown.refs, shown.refs) == {}
    with_ids = {name: oid for name, oid in advertised.items() if oid is not None}
    try:
        plan = plan_fetch(advertised_ids(wanted_refs(with_ids, PREFIXES)), ())
    except ProtocolError as error:
        _fit_to_show(error, most=100_000)
    else:
        assert all(len(want) == 20 for want in plan.wants)


class _Said(Dialer):
    """Connects to a server that has already sent everything and ignores what it receives."""

    said = b""

    def connect(self, host: str, port: int) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(1)
        theirs.setblocking(False)
        try:
            theirs.send(self.said)
            theirs.shutdown(socket.SHUT_WR)
        finally:
            self.deadline.watch(theirs)  # stays open, so that what we write goes somewhere
            theirs.close()
        self.deadline.watch(ours)
        return ours


def _converse(url: str, data: bytes) -> None:
    def decide(advertised: Mapping[bytes, bytes]) -> FetchPlan:
        assert all(name == HEAD or is_ref_name(name) for name in advertised)
        return plan_fetch(advertised, ())

    class Dialing(_Said):
        said = data[: 64 << 10]

    spool = scratch() / "spool.pack"
    conditions = Conditions(AddressPolicy(()), LIMITS, PREFIXES, "git/fuzz")
    try:
        with patch("pipeline.git.exchange.Dialer", Dialing), Deadline(LIMITS.total_s) as deadline:
            received = exchange(HostTurn(conditions.hosts, url, deadline), decide, spool, conditions)
        assert received.pack_bytes <= LIMITS.pack_bytes
        assert all(name == HEAD or is_ref_name(name) for name in received.refs)
    except OriginError as error:
        _fit_to_show(error)
    finally:
        spool.unlink(missing_ok=True)


def git_answers(data: bytes) -> None:
    """Whatever a git:// server sends ends as refs and a verified pack, or as some OriginError."""
    _converse("git://fuzz.example/repo.git", data)


def http_answers(data: bytes) -> None:
    """The same for http://; bytes without a status line become the body of an advertisement."""
    if not data.startswith(b"HTTP/"):
        kind = b"Content-Type: application/x-git-upload-pack-advertisement\r\n"
        data = b"HTTP/1.1 200 OK\r\n" + kind + b"Content-Length: %d\r\n\r\n" % len(data) + data
    _converse("http://fuzz.example/repo.git", data)


@contextmanager
def _storage() -> Iterator[LocalStorage]:
    yield LocalStorage(scratch() / "archive")


RECORDS: Final[tuple[type[BaseModel], ...]] = (Manifest,)


def records(data: bytes) -> None:
    """A manifest of any bytes is valid or refused, and a valid one stays the same when it is written again."""
    for record in RECORDS:
        try:
            found = record.model_validate_json(data)
        except ValidationError:
            continue
        assert record.model_validate_json(found.model_dump_json()) == found


def loads(data: bytes) -> None:
    """Any folder name in ``runs/`` is a load's name or is rejected."""
    name = data.decode(errors="replace").replace("/", "")
    load = Load.named(name)
    if load is not None:
        assert load.name == name
        assert name.startswith(load.night.isoformat())
        assert load.manifest(0).startswith(f"runs/{name}/")


@cache
def _parquet() -> tuple[bytes, pa.Table]:
    """A file as fetch writes it: page checksums, zstd, binary and text columns."""
    rows = [{"oid": bytes([n]) * 20, "name": f"name {n}", "content": bytes([n]) * 1000, "size": n} for n in range(200)]
    table = pa.Table.from_pylist(rows)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True, row_group_size=50)
    return sink.getvalue().to_pybytes(), table


def parquet_files(data: bytes) -> None:
    """A stored file with changed bytes is read as it was, or is reported by name as damaged."""
    whole, table = _parquet()
    changed = bytearray(whole)
    for at in range(0, len(data) - 3, 4):
        changed[int.from_bytes(data[at : at + 3], "big") % len(changed)] ^= data[at + 3]
    with _storage() as storage:
        storage.replace("data/fuzz.parquet", bytes(changed))
        try:
            with open_parquet_file(storage, "data/fuzz.parquet") as file:
                found = file.read()
        except StoredFileDamaged as error:
            _fit_to_show(error, naming="data/fuzz.parquet")
        else:
            same = found.schema.names == table.schema.names and found.to_pydict() == table.to_pydict()
            assert same or found.num_rows != table.num_rows or _differs_in_footer(whole, bytes(changed))


def _differs_in_footer(whole: bytes, changed: bytes) -> bool:
    """Whether a byte of the footer was changed; no checksum of Parquet covers it."""
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    return whole[footer:] != changed[footer:]


TARGETS: Final[dict[str, Target]] = {
    target.__name__: target
    for target in (commits, tags, trees, packs, refs, git_answers, http_answers, records, loads, parquet_files)
}
