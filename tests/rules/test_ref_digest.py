"""Digests of refs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.rules.negotiation import Ref
from pipeline.rules.ref_digest import DIGEST_BYTES, NO_REFS, RefDigest, digest_of

VALUES = st.one_of(st.none(), st.binary(max_size=3), st.sampled_from([b"-", b"1:", b"0:-"]))
REFS = st.dictionaries(st.binary(max_size=3), st.builds(Ref, VALUES, VALUES), max_size=3)


@given(REFS, REFS)
def test_equal_digests_are_equal_refs(some: dict[bytes, Ref], others: dict[bytes, Ref]) -> None:
    assert (digest_of(some) == digest_of(others)) == (some == others)
    assert (digest_of(some) == NO_REFS) == (not some)


def test_the_order_of_a_mapping_does_not_matter() -> None:
    refs = {b"HEAD": Ref(b"1", b"refs/heads/main"), b"refs/heads/main": Ref(b"1")}
    digest = RefDigest()
    for name in sorted(refs):
        digest.add(name, refs[name])
    assert digest_of(dict(reversed(refs.items()))) == digest_of(refs) == digest.value
    assert len(digest.value) == DIGEST_BYTES
