"""A digest of an origin's refs: whether it shows what it showed before is known without those refs."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from pipeline.rules.negotiation import Ref

DIGEST_BYTES = 32

UNKNOWN = bytes(DIGEST_BYTES)
"""In place of a digest that nobody knows."""


class RefDigest:
    """The SHA-256 of refs that are added in the order of their names."""

    def __init__(self) -> None:
        self._hash = sha256()

    def add(self, name: bytes, ref: Ref) -> None:
        """Add the next ref."""
        self._hash.update(b"".join(map(_field, (name, ref.target, ref.symref))))

    @property
    def value(self) -> bytes:
        """``DIGEST_BYTES`` bytes for all refs so far."""
        return self._hash.digest()


def digest_of(refs: Mapping[bytes, Ref]) -> bytes:
    """The digest of all refs of an origin, by full name, in any order."""
    digest = RefDigest()
    for name in sorted(refs):
        digest.add(name, refs[name])
    return digest.value


def _field(value: bytes | None) -> bytes:
    """Such that no two lists of values join to the same bytes."""
    return b"-" if value is None else b"%d:%b" % (len(value), value)


NO_REFS = digest_of({})
