"""What every conversation of a run keeps to."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.git.limits import Limits
from pipeline.git.network import AddressPolicy


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions of every conversation of a run."""

    policy: AddressPolicy
    limits: Limits
    prefixes: tuple[bytes, ...]
    user_agent: str
