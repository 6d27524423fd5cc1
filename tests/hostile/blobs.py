"""Blobs over limits, in odd places, and bombs."""

from __future__ import annotations

from pipeline.git.limits import MIB
from tests.git.packs import BLOB, full, header, pack_of, zeros
from tests.hostile.spec import CORRUPT, EXACT, INCOMPLETE, MAIN, OVER_LIMIT, TOO_LARGE, Made, Refs, repository

LARGE = bytes(2 * MIB)
"""A blob over the size limit."""


@repository(TOO_LARGE)
def blob_over_the_limit(made: Made) -> Refs:
    return {MAIN: made.commit(made.tree(("100644", "large", made.blob(LARGE)), ("100644", "small", made.blob())))}


@repository(TOO_LARGE)
def blob_over_the_limit_right_below_a_ref(made: Made) -> Refs:
    return {b"refs/tags/key": made.blob(LARGE), MAIN: made.commit()}


@repository(TOO_LARGE)
def blob_over_the_limit_below_a_tag(made: Made) -> Refs:
    return {b"refs/tags/key": made.tag(made.blob(LARGE), "blob"), MAIN: made.commit()}


@repository(TOO_LARGE)
def blob_over_the_limit_as_detached_head(made: Made) -> Refs:
    return {b"HEAD": made.blob(LARGE), MAIN: made.commit()}


@repository(EXACT)
def blob_as_detached_head(made: Made) -> Refs:
    return {b"HEAD": made.blob(), MAIN: made.commit()}


@repository(EXACT)
def blob_empty_as_only_object(made: Made) -> Refs:
    return {b"HEAD": made.blob(b"")}


@repository(EXACT)
def blobs_that_look_like_other_things(made: Made) -> Refs:
    """Content that begins like a pack, a Parquet file, a commit or an LFS pointer, or with a byte order mark."""
    contents = [b"PACK\0\0\0\2", b"PAR1PAR1", b"tree " + b"0" * 40, b"version https://git-lfs", b"\xff\xfe\0\0", b"\0"]
    return {MAIN: made.commit(made.tree(*(("100644", f"{n}.py", made.blob(data)) for n, data in enumerate(contents))))}


@repository(EXACT)
def blob_whose_language_takes_long_to_guess(made: Made) -> Refs:
    """Content that makes lexers search back and forth."""
    hard = {
        "a.pl": b"{" * 8_000,
        "b": b"<" * 8_000,
        "c.h": b"/*" * 4_000,
        "d.inc": b"<?php " * 1_500,
        "e.v": b"(" * 8_000,
    }
    return {
        b"HEAD": (tip := made.commit(made.tree(*(("100644", n, made.blob(d)) for n, d in hard.items())))),
        MAIN: tip,
    }


def _instead(made: Made, entry: bytes) -> Refs:
    """One commit, with this entry instead of its file."""
    blob = made.blob()
    tip = made.commit(made.tree(("100644", "a", blob)))
    del made.objects[blob]
    made.pack = pack_of([*made.entries(), entry])
    return {MAIN: tip}


@repository(CORRUPT)
def blob_bomb_that_claims_ten_bytes(made: Made) -> Refs:
    return _instead(made, header(BLOB, 10) + zeros(200 * MIB))


@repository(OVER_LIMIT)
def blob_bomb_that_claims_60_gb(made: Made) -> Refs:
    return _instead(made, header(BLOB, 60 << 30) + zeros(MIB))


@repository(INCOMPLETE)
def blob_bomb_of_200_mb(made: Made) -> Refs:
    """Its size is as declared, over the limit for one blob, and nobody asked for it."""
    return _instead(made, header(BLOB, 200 * MIB) + zeros(200 * MIB))


@repository(OVER_LIMIT)
def blob_bombs_by_thousands(made: Made) -> Refs:
    """3,000 blobs of zeros, each just under a megabyte, in 3 MB of pack."""
    blob = full(BLOB, bytes(MIB - 1))
    made.pack = pack_of([blob] * 3_000)
    return {MAIN: "1" * 40}


@repository(EXACT)
def blobs_by_ten_thousands(made: Made) -> Refs:
    """Each of a few bytes."""
    files = [("100644", f"{number}", made.blob(b"%d" % number)) for number in range(20_000)]
    return {MAIN: made.commit(made.tree(*files))}
