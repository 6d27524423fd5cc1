"""How the workers of a training share the parts of a data set: each part once an epoch. Pure functions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Share:
    """A worker among all workers of all ranks; both numbers count from 0."""

    rank: int = 0
    ranks: int = 1
    worker: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.rank < self.ranks and 0 <= self.worker < self.workers):
            raise ValueError(f"there is no worker {self.worker} of {self.workers}, rank {self.rank} of {self.ranks}")


def share_of(parts: Sequence[T], share: Share, seed: int | None, epoch: int) -> list[T]:
    """The parts of one worker, in its order. Over all workers each part occurs once, and they differ by one at most.

    Args:
        seed: shuffles all parts, in another way each epoch; None keeps their order.
    """
    order = list(parts)
    if seed is not None:
        random.Random(f"{seed} {epoch}").shuffle(order)  # noqa: S311 - not for secrets
    return order[share.rank * share.workers + share.worker :: share.ranks * share.workers]
