"""A small archive with the measured rates, and what the model says of it."""

from __future__ import annotations

import pytest

from cluster.outcome import Outcome, outcome
from cluster.population import Population, populate
from cluster.rates import Rates
from tests.cluster import DOCS, RAW, SEED


@pytest.fixture(scope="session")
def rates() -> Rates:
    return Rates.measured(DOCS / "benchmarks.json")


@pytest.fixture(scope="session")
def people() -> Population:
    return populate(RAW, 256, SEED)


@pytest.fixture(scope="session")
def found(people: Population, rates: Rates) -> Outcome:
    return outcome(people, rates, SEED)
