"""What is measured: steps of ours on a made-up archive, each a command as its users run it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks import archive
from benchmarks.archive import Bed
from benchmarks.measure import in_child
from pipeline.model.layout import Load
from pipeline.model.visit import VisitStatus
from scaling.landed import land
from scaling.population import Population
from scaling.server import MadeUpServer
from scaling.watch import Watched, pipeline
from scaling.written import Added, added, since

log = logging.getLogger(__name__)


class NotAsMade(Exception):
    """The archive has not found what the made-up origins show."""


@dataclass(frozen=True)
class Step:
    """A step, what it took, and what it added to the tables."""

    name: str
    took: Watched
    written: dict[str, Added] = field(default_factory=dict)


def build(bed: Bed, server: MadeUpServer, population: Population) -> list[Step]:
    """Create the archive, and make its first night: visits are landed, everything else is a real night."""
    bed.write_config()
    pipeline(bed, "init")
    steps = [step(bed, "add origins", lambda: add(bed, population.lines()))]
    in_child(archive.plan, bed, 0)
    log.info("landing %d origins", population.origins)
    tips = in_child(land, bed, Load.of_night(archive.night(0)), population)
    server.show(population.shape, population.begun, tips)
    steps.append(step(bed, "first night, without its visits", lambda: night(bed, 0)))
    return steps


def add(bed: Bed, lines: Iterable[str]) -> Watched:
    """Add origins, as the command reads them."""
    return pipeline(bed, "origins", "add", "--from", "-", stdin="\n".join(lines))


def changed_night(bed: Bed, server: MadeUpServer, number: int, changed: Sequence[int], visited: int, name: str) -> Step:
    """A night for which the roots of some networks get a commit.

    Args:
        visited: how many origins are due.

    Raises:
        NotAsMade: it did not find exactly these changes.
    """
    server.advance(changed)
    return exact_night(bed, number, len(changed), visited, name)


def exact_night(bed: Bed, number: int, changed: int, visited: int, name: str) -> Step:
    """A night that must find so many changed origins, and all others that are due unchanged.

    Raises:
        NotAsMade: it did not.
    """
    done = step(bed, name, lambda: night(bed, number))
    found = {VisitStatus(status): count for status, count in done.took.output["origins"].items() if count}
    wanted = {VisitStatus.FULL: changed, VisitStatus.UNCHANGED: visited - changed}
    if found != {status: count for status, count in wanted.items() if count}:
        raise NotAsMade(f"{name}: {found} instead of {wanted}: {done.took.output['failed'][:3]}")
    return done


def night(bed: Bed, number: int) -> Watched:
    """A night."""
    return pipeline(bed, "nightly", "--night", str(archive.night(number)))


def step(bed: Bed, name: str, work: Callable[[], Watched]) -> Step:
    """Do it and look at what it added."""
    log.info("%s", name)
    before = added(bed)
    took = work()
    done = Step(name, took, since(bed, before))
    log.info("%s: %.1f CPU-s, %.1f s", name, took.cpu_s, took.wall_s)
    return done
