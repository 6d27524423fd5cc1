"""Credentials in files of the whole history, masked.

Only credentials whose form tells what they are: keys with a known beginning, and private keys that no passphrase
protects. A file counts once per network. Result, one row per finding:

=======  ======  ===================================================================================
network  bigint  the network
oid      binary  id of the blob
name     string  a name that it was first seen under; see ``files`` for its paths at HEAD
at_head  boolean whether it belongs, or belonged on an earlier night, to the tree of an origin's HEAD
line     bigint  line of the finding, from 1
kind     string  what it is, such as ``github token``
masked   string  its beginning, which all of the kind share, and its length
=======  ======  ===================================================================================

The credentials themselves are in no result, log or error. Of one file at most 1,000 findings are reported. Whether one
is still valid is not tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Final, NamedTuple

import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame

from pipeline.read.archive import Archive

READS = ["contents"]

MOST_FINDINGS: Final = 1000

# Each form begins with its own text and has bounded repetitions, so the search is linear.
_FORMS: Final = {
    "aws access key": rb"(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])",
    "github token": rb"gh[pousr]_[A-Za-z0-9]{36}",
    "github fine-grained token": rb"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
    "gitlab token": rb"glpat-[A-Za-z0-9_-]{20}",
    "slack token": rb"xox[abeprs]-[A-Za-z0-9-]{10,250}",
    "stripe key": rb"[rs]k_live_[A-Za-z0-9]{24,99}",
    "google api key": rb"AIza[A-Za-z0-9_-]{35}",
    "npm token": rb"npm_[A-Za-z0-9]{36}",
    "pypi token": rb"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,999}",
    "sendgrid key": rb"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
    "hugging face token": rb"hf_[A-Za-z]{34}",
    "private key": rb"-----BEGIN (?:(?:RSA|DSA|EC|OPENSSH) )?PRIVATE KEY-----(?:\\[nr]|\s){1,4}[A-Za-z0-9+/=]{20}",
}
_SHOWN: Final = {
    "private key": 0,
    "hugging face token": 3,
    "sendgrid key": 3,
    "pypi token": 5,
    "stripe key": 8,
    "github fine-grained token": 11,
}
"""Bytes of a finding that say nothing but its kind, where they are not four."""

_BEGINNINGS: Final = (
    b"-----BEGIN ", b"AIza", b"AKIA", b"ASIA", b"SG.", b"gho_", b"ghp_", b"ghr_", b"ghs_", b"ghu_", b"github_pat_",
    b"glpat-", b"hf_", b"k_live_", b"npm_", b"pypi-", b"xox",
)  # fmt: skip
"""A file without any of these has no credential, which is found out many times as fast as by the forms."""

_KINDS: Final = tuple(_FORMS)
_ANY: Final = re.compile(rb"(?<![A-Za-z0-9_])(?:" + b"|".join(b"(%s)" % form for form in _FORMS.values()) + b")")
_COLUMNS = ("network", "oid", "name", "at_head", "content")
_FOUND = pa.schema(
    [
        ("network", pa.int64()),
        ("oid", pa.binary()),
        ("name", pa.string()),
        ("at_head", pa.bool_()),
        ("line", pa.int64()),
        ("kind", pa.string()),
        ("masked", pa.string()),
    ]
)
_TYPES = "network bigint, oid binary, name string, at_head boolean, line bigint, kind string, masked string"


class Finding(NamedTuple):
    """A credential; its line counts from 1."""

    line: int
    kind: str
    masked: str


def find_secrets(content: bytes) -> Iterator[Finding]:
    """All credentials of a file, in order."""
    if not any(beginning in content for beginning in _BEGINNINGS):
        return
    line, counted = 1, 0
    for match in _ANY.finditer(content):
        line += content.count(b"\n", counted, match.start())
        counted = match.start()
        kind = _KINDS[(match.lastindex or 1) - 1]
        yield Finding(line, kind, _masked(kind, match[0]))


def _masked(kind: str, secret: bytes) -> str:
    shown = secret[: _SHOWN.get(kind, 4)].decode("ascii")
    return f"{shown}… ({len(secret)} characters)" if shown else "…"


def look_through(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Findings in each row of ``contents``; a batch of none is not returned."""
    for batch in batches:
        rows = [
            (*(cell.as_py() for cell in place), *finding)
            for *place, content in zip(*(batch[name] for name in _COLUMNS), strict=True)
            for finding in islice(find_secrets(content.as_py()), MOST_FINDINGS)
        ]
        if rows:
            columns = [
                pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), _FOUND, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=_FOUND)


def main(
    archive: Archive, head_only: Annotated[bool, Field(description="leave out the history before HEAD")] = False
) -> DataFrame:
    """Search the contents of the archive's night."""
    return archive.map_contents(look_through, _TYPES, columns=_COLUMNS, head_only=head_only)
