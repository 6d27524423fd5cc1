"""Into which part of its network a new origin goes. Touches no table."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from pipeline.model.origin import Origin, network_id

NETWORK_ORIGINS = 2_000
"""Origins of a network from which on further forks make a network of their own, with a bucket of its own. Those of one
network are first visited one after the other: so many take minutes, and a copy of the history is little for them."""


def placed(
    origins: Iterable[Origin], forks: Mapping[str, int], closed: Container[int] = ()
) -> Iterator[tuple[Origin, int]]:
    """Each new origin with its network, in order. A root is always in the first part.

    Args:
        forks: by root, how many forks of it there are.
        closed: networks to which nothing is added.
    """
    counts = dict(forks)
    for origin in origins:
        if origin.fork_of is None:
            yield origin, origin.network
            continue
        number = counts.get(origin.fork_of, 0) + 1
        counts[origin.fork_of] = number
        part = number // NETWORK_ORIGINS
        while part and network_id(origin.fork_of, part) in closed:
            part += 1
        yield origin, network_id(origin.fork_of, part)
