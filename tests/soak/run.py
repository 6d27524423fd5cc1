"""The soak itself: nights one after another, with everything that may happen between and during them."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from tests.e2e.archive import Archive, Place
from tests.soak.model import Model
from tests.soak.world import State, World, state_of
from tests.support.git import run_git
from tests.support.servers import Peer, git_daemon

FIRST_NIGHT = date(2026, 1, 1)
CHECK_EVERY = 10
KILL, ADD_MEANWHILE, MAINTAIN, COMPACT, STOP, TAKE_DOWN = 0.1, 0.1, 0.15, 0.1, 0.08, 0.03
"""Probability of each event per night."""

RESTORED_AT_ONCE = 6
"""Origins per night that a check in between restores; the last check restores all."""


class SoakFailed(AssertionError):
    """The archive does not match the model."""


@dataclass
class Soak:
    """One archive, one world and one model of both.

    Attributes:
        figures: how often each action was done.
    """

    archive: Archive
    world: World
    model: Model
    server: Peer
    draw: random.Random
    folder: Path
    figures: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    night_s: float = 20.0

    def run(self, nights: int, *, minutes: float = math.inf, kills: bool = True) -> None:
        """Run nights, each with its events, until the time is up; check after every tenth and at the end."""
        ends = time.monotonic() + 60 * minutes
        for number in range(nights):
            if time.monotonic() > ends:
                break
            night = FIRST_NIGHT + timedelta(days=number)
            self.world.live(self.draw.randint(1, 6))
            self.add(self.newcomers())
            self.maybe_stop()
            self.maybe_take_down()
            began = time.monotonic()
            self.one_night(night, kill=kills and self.happens(KILL))
            self.seconds.append(time.monotonic() - began)
            self.maybe_keep_house()
            if number % CHECK_EVERY == CHECK_EVERY - 1 and number != nights - 1:
                self.check(RESTORED_AT_ONCE)
                print(told(self.report()), file=sys.stderr)
        self.check(None)

    def happens(self, chance: float) -> bool:
        return self.draw.random() < chance

    # Between nights

    def url(self, name: str) -> str:
        return self.server.url(name)

    def newcomers(self) -> list[str]:
        return [name for name in self.world.alive if name not in self.model.origins]

    def lines(self, names: list[str]) -> str:
        roots = {name: self.world.fork_of.get(name) for name in names}
        return "".join(f"{self.url(n)} {self.url(root) if root else ''}".strip() + "\n" for n, root in roots.items())

    def add(self, names: list[str]) -> None:
        if not names:
            return
        self.archive.run("origins", "add", "--from", "-", stdin=self.lines(names))
        for name in names:
            self.model.add(name)
            self.figures["origins added"] += 1

    def maybe_stop(self) -> None:
        """Pause, opt out or resume an origin."""
        stopped = [n for n, origin in self.model.origins.items() if origin.due is None and n not in self.model.taken]
        if stopped and self.happens(4 * STOP):
            name = self.draw.choice(stopped)
            self.archive.run("origins", "resume", self.url(name))
            self.model.resume(name)
            self.figures["resumed"] += 1
        running = [name for name, origin in self.model.origins.items() if origin.due is not None]
        if len(running) > 4 and self.happens(STOP):
            name, how = self.draw.choice(running), self.draw.choice(["pause", "opt-out"])
            self.archive.run("origins", how, self.url(name))
            self.model.stop(name)
            self.figures[how] += 1

    def maybe_take_down(self) -> None:
        """Take an origin down, and its repository with it, unless forks that are not archived yet share its objects."""
        existing = (*self.world.alive, *self.world.away)
        unseen = {self.world.root_of(name) for name in existing if not self.model.is_archived(name)}
        candidates = [name for name in existing if self.model.is_due(name) and self.world.root_of(name) not in unseen]
        if len(candidates) <= 5 or not self.happens(TAKE_DOWN):
            return
        name = self.draw.choice(candidates)
        self.archive.run("takedown", "--origin", self.url(name), "--reason", "soak")
        self.model.take_down(name)
        self.world.delete_for_good(name)
        self.figures["taken down"] += 1

    def maybe_keep_house(self) -> None:
        if self.happens(MAINTAIN):
            self.archive.run("maintain")
            self.figures["maintain"] += 1
        if self.happens(COMPACT):
            self.archive.run("compact", "--budget", "20s")
            self.figures["compact"] += 1

    # Nights

    def one_night(self, night: date, *, kill: bool) -> None:
        late = self.late() if self.happens(ADD_MEANWHILE) else []
        shown = self.world.states()
        words = ("nightly", "--night", str(night), "--output", "json")
        if kill:
            self.kill(words)
        with self.adding(late) if late else nullcontext():
            self.archive.run(*words)  # a missing origin is no failure: 0
        self.figures["nights"] += 1
        rows = self.archive.read().table("visits").where(f"night = DATE '{night}'").select("origin", "status").collect()
        visits = {row["origin"].rpartition("/")[2]: row["status"] for row in rows}
        self.expect(len(visits) == len(rows), f"{night}: an origin was visited twice")
        for name in late:  # the night may or may not have seen them
            if name in visits:
                self.model.add(name)
        for problem in self.model.finish(night, shown, visits):
            self.expect(False, f"{night}: {problem}")
        for name in late:
            if name not in visits:
                self.model.add(name)
        self.figures["visits"] += len(rows)
        self.check_refs(night)

    def kill(self, words: tuple[str, ...]) -> None:
        """Start the night as a separate program and kill it with SIGKILL at some moment, unless it finishes first."""
        with self.archive.start(*words) as process:
            try:
                process.communicate(timeout=self.draw.uniform(1, 1.3 * self.night_s))
                self.figures["done before the kill"] += 1
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                self.figures["kills"] += 1

    def late(self) -> list[str]:
        """Repositories that exist before the night begins, and are added while it runs."""
        for _ in range(self.draw.randint(1, 3)):
            self.world.begin()
        return self.newcomers()

    @contextmanager
    def adding(self, late: list[str]) -> Iterator[None]:
        """While the block runs, another process adds these origins."""
        path = self.folder / "late.txt"
        path.write_text(self.lines(late))
        with self.archive.start("origins", "add", "--from", path) as process:
            yield
            stdout, stderr = process.communicate(timeout=240)
            self.expect(process.returncode == 0, f"origins add ended with {process.returncode}: {stdout}{stderr}")
        self.figures["added meanwhile"] += len(late)

    # Checks

    def check(self, most: int | None) -> None:
        """Every retained night restores: all its origins, or some of them."""
        nights = self.archive.read().nights()
        self.expect(set(nights) <= self.model.nights.keys(), "a night that never was")
        self.expect(max(nights) == max(self.model.nights), "the newest night is not there")
        for night in nights:
            known = self.model.nights[night]
            names = sorted(known) if most is None else self.draw.sample(sorted(known), min(most, len(known)))
            for name in names:
                self.check_restored(night, name, known[name])
            self.figures["nights checked"] += 1
        for name in self.model.taken:
            self.archive.restore(self.url(name), self.folder / "taken.git", code=2)

    def check_refs(self, night: date) -> None:
        """Branches and tags of all origins match the model."""
        found: dict[str, dict[str, str]] = {name: {} for name in self.model.nights[night]}
        for row in self.archive.read().refs().where("name <> 'HEAD' AND target IS NOT NULL").collect():
            found.setdefault(row["origin"].rpartition("/")[2], {})[row["name"]] = bytes(row["target"]).hex()
        for name, state in self.model.nights[night].items():
            expected = {ref: oid for ref, oid, *_ in map(str.split, state[1:])}
            self.expect(found[name] == expected, f"{name} as of {night} has {found[name]}, not {expected}")

    def check_restored(self, night: date, name: str, expected: State) -> None:
        to = self.folder / "restored.git"
        self.archive.run("restore", self.url(name), to, "--night", str(night))
        found = state_of(to)
        self.expect(found == expected, f"{name} as of {night} is {found}, not {expected}")
        fsck = run_git("-C", to, "fsck", "--full", "--no-dangling", "--no-progress")
        self.expect(fsck.returncode == 0, f"{name} as of {night}: {fsck.stderr.decode(errors='replace')}")
        shutil.rmtree(to)
        self.figures["restored"] += 1

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise SoakFailed(f"{otherwise}\nevents: {self.world.log[-40:]}\nfigures: {dict(self.figures)}")

    def report(self) -> dict[str, Any]:
        """The figures, and seconds per night."""
        ordered = sorted(self.seconds)
        middle = ordered[len(ordered) // 2] if ordered else 0.0
        return dict(self.figures) | {"median night, s": round(middle, 1), "events": len(self.world.log)}


@contextmanager
def soaking(place: Place, folder: Path, seed: int) -> Iterator[Soak]:
    """A soak that is ready to start, in a folder of its own."""
    root = folder / "served"
    root.mkdir(parents=True)
    draw = random.Random(seed)
    with git_daemon(root) as server:
        archive = Archive.at(
            place, folder / "settings", f"soak-{seed}",
            maintain={"dailies": 8, "monthlies": 2, "snapshot_age_s": 0, "sweep_after_s": 0, "compact_budget": "10s"},
        )  # fmt: skip
        archive.init()
        world = World(root, draw)
        yield Soak(archive, world, Model(), server, draw, folder)


def told(report: dict[str, Any]) -> str:
    return json.dumps(report, indent=1)
