"""Every target holds for its corpus and for the inputs of a short search; ``scripts/fuzz`` searches longer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.generators import GENERATORS, SEEDS
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
MOST_BYTES = 500_000
EXAMPLES = {"packs": 150, "git_answers": 150, "http_answers": 100, "parquet_files": 60}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Silence dulwich, which logs every capability that it does not know."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_interesting_once(name: str) -> None:
    for path in sorted((CORPUS / name).glob("*")):
        TARGETS[name](path.read_bytes())
    for data in SEEDS.get(name, []):
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_a_short_search(name: str) -> None:
    @settings(max_examples=EXAMPLES.get(name, 300), suppress_health_check=list(HealthCheck))
    @given(GENERATORS[name] | st.binary(max_size=200))
    def search(data: bytes) -> None:
        TARGETS[name](data)

    search()


def test_the_corpus_is_small() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} <= TARGETS.keys()
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < MOST_BYTES
