"""MinHash signatures against the exact similarity of all pairs."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations

from pipeline.read import minhash
from pipeline.read.minhash import FEWEST, MOST_BYTES, PLACES, bands, shingles, signature, signature_of
from tests.support.near_texts import families, jaccard


def test_shingles_are_runs_of_five_words_and_signs() -> None:
    text = b"def f(x):\n    return f(x - 1)\n" * 3
    tokens = re.findall(rb"\w+|[^\w\s]", text)
    assert len(shingles(text)) == len({tuple(tokens[at : at + 5]) for at in range(len(tokens) - 4)})
    assert list(shingles(b"a b\tc\n d e")) == list(shingles(b"a b c d e"))
    assert list(shingles(b"a b c d e")) != list(shingles(b"e d c b a"))
    assert len(shingles(b"a b c d")) == 0


def test_a_signature_estimates_the_exact_similarity() -> None:
    bodies = list(families().values())[:24]
    signatures = [signature(shingles(body)) for body in bodies]
    errors = [
        (signatures[one] == signatures[other]).mean() - jaccard(bodies[one], bodies[other])
        for one, other in combinations(range(len(bodies)), 2)
    ]
    assert max(map(abs, errors)) < 0.15
    assert abs(sum(errors) / len(errors)) < 0.02
    assert len(signatures[0]) == PLACES


def test_some_texts_are_not_compared() -> None:
    words = [b"%d" % at for at in range(FEWEST + 4)]
    assert signature_of(b" ".join(words)) is not None
    assert signature_of(b" ".join(words[1:])) is None
    assert signature_of(b" ".join(words).ljust(MOST_BYTES + 1)) is None


def test_long_words_are_not_remembered() -> None:
    short, long = b"rare" * 16, b"long" * 17
    assert len(shingles(b" ".join([short, long, b"c d e"]))) == 1
    assert short in minhash._HASHES
    assert long not in minhash._HASHES


def test_every_process_signs_alike() -> None:
    """Python's own hashes differ from one to the next."""
    program = "from pipeline.read.minhash import *; print(bands(signature(shingles(b'a b c d e f g'))))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(bands(signature(shingles(b"a b c d e f g"))))
