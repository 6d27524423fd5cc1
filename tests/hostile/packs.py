"""Packs that lie about themselves."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from functools import partial

from tests.git.packs import (
    BLOB,
    COMMIT,
    TREE,
    append,
    copy,
    delta,
    full,
    header,
    insert,
    number,
    ofs_delta,
    oid_of,
    pack_of,
    ref_delta,
    replace_all,
)
from tests.hostile.spec import (
    CORRUPT,
    EXACT,
    INCOMPLETE,
    LIMITS,
    LOST,
    MAIN,
    OVER_LIMIT,
    Made,
    Outcome,
    Refs,
    add_repository,
    repository,
)

BASES_MISSING: Outcome = ("failed", "bases_missing")


def _resealed(body: bytes) -> bytes:
    return body + hashlib.sha1(body).digest()


CHANGES: dict[str, tuple[Outcome, Callable[[list[bytes]], bytes]]] = {
    "counts_one_too_many": (CORRUPT, lambda entries: pack_of(entries, count=len(entries) + 1)),
    "counts_one_too_few": (CORRUPT, lambda entries: pack_of(entries, count=len(entries) - 1)),
    "counts_nothing": (CORRUPT, lambda entries: pack_of(entries, count=0)),
    "counts_four_thousand_million": (OVER_LIMIT, lambda entries: pack_of(entries, count=0xFFFFFFFF)),
    "has_bytes_behind": (CORRUPT, lambda entries: pack_of(entries, after=b"more")),
    "has_a_whole_pack_behind": (CORRUPT, lambda entries: pack_of(entries) + pack_of(entries)),
    "has_a_wrong_checksum": (CORRUPT, lambda entries: pack_of(entries)[:-1] + b"\0"),
    "has_no_checksum": (CORRUPT, lambda entries: pack_of(entries)[:-20]),
    "is_cut": (CORRUPT, lambda entries: pack_of(entries)[:60]),
    "is_cut_and_sealed": (CORRUPT, lambda entries: _resealed(pack_of(entries)[:60])),
    "is_of_version_4": (CORRUPT, lambda entries: _resealed(b"PACK\0\0\0\4" + pack_of(entries)[8:-20])),
    "is_of_version_0": (CORRUPT, lambda entries: _resealed(b"PACK\0\0\0\0" + pack_of(entries)[8:-20])),
    "is_called_otherwise": (CORRUPT, lambda entries: _resealed(b"KCAP" + pack_of(entries)[4:-20])),
    "is_empty": (INCOMPLETE, lambda entries: pack_of([])),
    "is_no_byte": (CORRUPT, lambda entries: b""),
    "is_one_byte": (CORRUPT, lambda entries: b"P"),
    "is_all_zeros": (CORRUPT, lambda entries: bytes(1000)),
    "has_entries_of_type_0": (CORRUPT, lambda entries: pack_of([*entries, header(0, 1) + zlib.compress(b"x")])),
    "has_entries_of_type_5": (CORRUPT, lambda entries: pack_of([*entries, header(5, 1) + zlib.compress(b"x")])),
    "has_a_size_of_70_bits": (CORRUPT, lambda entries: pack_of([*entries, b"\xbf" + b"\xff" * 9 + b"\x01"])),
    "has_a_size_without_end": (CORRUPT, lambda entries: pack_of([*entries, b"\xbf" + b"\x80" * 10_000])),
    "claims_a_byte_too_many": (CORRUPT, lambda entries: pack_of([*entries, full(BLOB, b"abc", claims=4)])),
    "claims_a_byte_too_few": (CORRUPT, lambda entries: pack_of([*entries, full(BLOB, b"abc", claims=2)])),
    "has_streams_of_noise": (CORRUPT, lambda entries: pack_of([*entries, header(BLOB, 9) + b"\xff" * 99])),
    "has_a_stream_with_dictionary": (
        CORRUPT,
        lambda entries: pack_of([*entries, header(BLOB, 3) + _with_dictionary()]),
    ),
    "has_a_raw_stream": (CORRUPT, lambda entries: pack_of([*entries, header(BLOB, 3) + zlib.compress(b"abc")[2:-4]])),
    "has_a_wrong_adler": (
        CORRUPT,
        lambda entries: pack_of([*entries, header(BLOB, 3) + zlib.compress(b"abc")[:-1] + b"x"]),
    ),
    "has_a_delta_of_nothing": (CORRUPT, lambda entries: pack_of([*entries, ofs_delta(len(entries[-1]), b"")])),
    "has_a_delta_on_itself": (CORRUPT, lambda entries: pack_of([*entries, ofs_delta(0, delta(1, 1, b"\x01a"))])),
    "has_a_delta_on_the_header": (CORRUPT, lambda entries: pack_of([*entries, ofs_delta(1_000_000, b"\1\1\1a")])),
    "has_a_delta_into_an_entry": (CORRUPT, lambda entries: pack_of([*entries, ofs_delta(3, delta(1, 1, b"\x01a"))])),
    "has_a_delta_for_another_size": (CORRUPT, lambda entries: _with_delta(entries, delta(99, 1, b"\x01a"))),
    "has_a_delta_that_gives_less": (CORRUPT, lambda entries: _with_delta(entries, delta(3, 9, b"\x01a"))),
    "has_a_delta_that_gives_more": (CORRUPT, lambda entries: _with_delta(entries, delta(3, 1, insert(b"abcdef")))),
    "has_a_delta_that_copies_past_the_end": (CORRUPT, lambda entries: _with_delta(entries, delta(3, 9, copy(1, 9)))),
    "has_a_delta_that_is_cut": (CORRUPT, lambda entries: _with_delta(entries, delta(3, 9, b"\x7fa"))),
    "has_a_delta_with_instruction_0": (CORRUPT, lambda entries: _with_delta(entries, delta(3, 1, b"\0"))),
    "has_a_delta_that_claims_a_terabyte": (
        OVER_LIMIT,
        lambda entries: _with_delta(entries, delta(3, 1 << 40, copy(0, 3))),
    ),
    "has_a_delta_without_base": (BASES_MISSING, lambda entries: pack_of([*entries, ref_delta(b"\1" * 20, b"\1\1\1a")])),
}
"""By name: how the visit must end, and how an ordinary repository's entries are packed."""


def _with_dictionary() -> bytes:
    packer = zlib.compressobj(zdict=b"abcabcabc")
    return packer.compress(b"abc") + packer.flush()


def _with_stream(entries: list[bytes], stream: bytes) -> bytes:
    """A blob that claims three bytes, with this as its compressed stream."""
    return pack_of([*entries, header(BLOB, 3) + stream])


def _with_delta(entries: list[bytes], data: bytes) -> bytes:
    """A blob of three bytes, and this delta based on it."""
    base = full(BLOB, b"abc")
    return pack_of([*entries, base, ofs_delta(len(base), data)])


def _changed(change: Callable[[list[bytes]], bytes], made: Made) -> Refs:
    refs = {MAIN: made.commit()}
    made.pack = change(made.entries())
    return refs


for name, (outcome, pack_change) in CHANGES.items():
    cut = (LOST,) if name in ("is_no_byte", "is_one_byte") else ()
    add_repository(f"pack_{name}", partial(_changed, pack_change), outcome, *cut)


@repository(EXACT)
def pack_with_every_object_twice(made: Made) -> Refs:
    """Once whole and once as a delta; git itself accepts this."""
    refs = {MAIN: made.commit()}
    entries = made.entries()
    blob = made.objects[made.blob()][1]
    made.pack = pack_of([*entries, *entries, ref_delta(oid_of(BLOB, blob), replace_all(blob, blob))])
    return refs


@repository(EXACT)
def pack_with_what_nobody_asked_for(made: Made) -> Refs:
    """Complete objects that no ref leads to."""
    made.commit(message=b"from nowhere\n")
    made.blob(b"nobody names me\n")
    return {MAIN: made.commit()}


@repository(EXACT, INCOMPLETE)
def pack_with_a_stray_tree_that_is_not_whole(made: Made) -> Refs:
    """A tree that no ref leads to names absent objects."""
    made.tree(("100644", "gone", "e" * 40))
    return {MAIN: made.commit()}


@repository(INCOMPLETE)
def pack_of_another_repository(made: Made) -> Refs:
    made.commit()
    return {MAIN: "1" * 40}


@repository(BASES_MISSING)
def pack_with_a_cycle_of_deltas(made: Made) -> Refs:
    one, two = b"one", b"two"
    cycle = [ref_delta(oid_of(BLOB, b), replace_all(b, a)) for a, b in ((one, two), (two, one))]
    made.pack = pack_of(cycle)
    return {MAIN: oid_of(BLOB, one).hex()}


@repository(EXACT)
def pack_with_a_delta_on_its_own_result(made: Made) -> Refs:
    """A REF_DELTA that rebuilds its own base, which is also in the pack as a whole object."""
    blob = made.objects[made.blob()][1]
    refs = {MAIN: made.commit()}
    made.pack = pack_of([ref_delta(oid_of(BLOB, blob), replace_all(blob, blob)), *made.entries()])
    return refs


def _chained(made: Made, kind: int, first: bytes, step: bytes, length: int, *, by_offset: bool) -> str:
    """A chain of deltas, each adding ``step`` to the one before; returns the last one's id."""
    entries, base = made.entries(), first
    entries.append(full(kind, first))
    for _ in range(length):
        result = base + step
        data = append(base, step)
        entries.append(ofs_delta(len(entries[-1]), data) if by_offset else ref_delta(oid_of(kind, base), data))
        base = result
    made.pack = pack_of(entries)
    return oid_of(kind, base).hex()


def _long_chain(made: Made, *, by_offset: bool) -> Refs:
    refs = {MAIN: made.commit()}
    for length in range(10_001):
        made.blob(b"a" * (length + 1))
    by_chain = Made()
    by_chain.objects = {
        oid: found for oid, found in made.objects.items() if found[0] != "blob" or found[1] == b"text\n"
    }
    _chained(by_chain, BLOB, b"a", b"a", 10_000, by_offset=by_offset)
    made.pack = by_chain.pack
    return refs


add_repository("pack_with_a_chain_of_10_000_deltas", partial(_long_chain, by_offset=True), EXACT)
add_repository("pack_with_a_chain_of_10_000_deltas_by_id", partial(_long_chain, by_offset=False), EXACT)


@repository(OVER_LIMIT, limits=LIMITS.model_copy(update={"inflated_bytes": 64 << 20}))
def pack_with_a_delta_bomb_of_blobs(made: Made) -> Refs:
    """Each delta doubles the one before: 20 of them make 4 GB."""
    first = bytes(4096)
    entries, size = [full(BLOB, first)], len(first)
    for _ in range(20):
        double = b"".join(copy(at, min(size - at, 0xFFFFFF)) for at in range(0, size, 0xFFFFFF)) * 2
        entries.append(ofs_delta(len(entries[-1]), delta(size, 2 * size, double)))
        size *= 2
    made.pack = pack_of(entries)
    return {MAIN: "1" * 40}


def _tree_bomb(deltas: int) -> bytes:
    """A tree of 60 MB that repeats one entry, and deltas that copy it and each add an entry."""
    entry = b"40000 d\0" + b"\1" * 20
    base = entry * (60_000_000 // len(entry))
    whole = b"".join(copy(at, min(len(base) - at, 0xFFFFFF)) for at in range(0, len(base), 0xFFFFFF))
    entries = [header(TREE, len(base)) + zlib.compress(base, 9)]
    for at in range(deltas):
        own = b"40000 x%d\0" % at + b"\1" * 20
        data = number(len(base)) + number(len(base) + len(own)) + whole + insert(own)
        entries.append(ofs_delta(sum(map(len, entries)), data))
    return pack_of(entries)


@repository(OVER_LIMIT, limits=LIMITS.model_copy(update={"inflated_bytes": 200 << 30}))
def pack_with_a_delta_bomb_of_trees(made: Made) -> Refs:
    """Some 200 kB of pack that become 100 GB of trees, which would all wait on scratch."""
    made.pack = _tree_bomb(1_700)
    return {MAIN: "1" * 40}


@repository(OVER_LIMIT, INCOMPLETE)
def pack_of_commits_that_all_name_others(made: Made) -> Refs:
    """200 thousand commits in deltas of a few bytes, each with its own absent tree and parent."""
    first = b"tree " + b"0" * 40 + b"\nparent " + b"0" * 40 + b"\n"
    base = full(COMMIT, first)
    entries, far = [base], len(base)
    for at in range(20_000):
        body = delta(len(first), len(first), insert(b"tree %040x\nparent %040x\n" % (at + 1, at + 1)))
        entry = ofs_delta(far, body)
        entries.append(entry)
        far += len(entry)
    made.pack = pack_of(entries)
    return {MAIN: "1" * 40}
