"""Memory of the process that leads a night: what was measured per visit, and the records that a derivation collects."""

from __future__ import annotations

import sys
from functools import lru_cache

import pyarrow as pa

from cluster import assumed
from cluster.population import Population
from pipeline.night.derive import MOST_MOVED
from pipeline.night.heads import HEADS
from pipeline.rules.lines import Line, NewTree

MILLION = 1e6
_ID = bytes(20)
_URL = "https://github.com/an-owner/a-repository"


def night_bytes(people: Population) -> float:
    """Of a night that visits every origin: by what a million visits took, and with a whole slice of a derivation."""
    each = (assumed.LEADER_BYTES_OF_A_MILLION - assumed.LEADER_BYTES) / MILLION
    moved = people.total("changed")
    derived = moved * head_bytes() + lines(people) * line_bytes()
    return assumed.LEADER_BYTES + people.total("origins") * each + derived * min(MOST_MOVED / moved, 1)


def lines(people: Population) -> float:
    """Distinct trees at HEAD of the networks in which an origin moved; of usual networks no more than one each."""
    moved = people.of_large("changed") > 0
    trees = people.of_large("others")[moved] / people.of_large("files")[moved]
    usual = people.total("changed") - people.of_large("changed").sum()
    return float(trees.sum() + moved.sum() + usual)


@lru_cache
def head_bytes() -> float:
    """Of a moved origin: its row of ``HEADS``, the parts of it that Python sees, and its tree."""
    row = {
        "bucket": 1, "network": 2**60, "origin": _URL, "fork_of": _URL, "night": None, "head_ref": "refs/heads/main",
        "head_commit": _ID, "head_time": None, "tree": _ID, "before": _ID, "branches": 1, "tags": 1, "known": True,
        "head_moved": True,
    }  # fmt: skip
    count = 1_000
    table = pa.Table.from_pylist([row] * count, HEADS)
    seen = {name: row[name] for name in ("network", "fork_of", "tree", "before")}
    python = sys.getsizeof(seen) + sum(map(sys.getsizeof, seen.values()))
    return float(table.nbytes) / count + python + sys.getsizeof(NewTree(_ID, _ID))


@lru_cache
def line_bytes() -> float:
    """Of a line and a tree that is kept, as the leader holds those of moved networks."""
    line = Line(2**60, 2**60, _ID, 1_000, whole=True)
    values: list[object] = [line, line.id, line.base, line.tree, line.rows, _ID]
    return sum(map(sys.getsizeof, values))
