"""The stages of the archive's work, as tasks for ``schedule``.

Which tasks there are, and in which order, is decided by the functions that the platform calls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cluster import assumed, heads, hosts, leader
from cluster.population import BLOB_SHARE, COLUMNS, PUSH_OBJECTS, Floats, Population, any_networks
from cluster.rates import Rates
from cluster.schedule import Sizes, Stage, makespan_of_groups_s, makespan_s, run, together
from cluster.settings import BLOCK_BYTES, CONCURRENCY
from cluster.written import Moved, Written, night_bytes
from pipeline.context.config import MaintainSection
from pipeline.fetch.landing import RUN_BYTES
from pipeline.git.limits import Limits
from pipeline.model.origin import bucket_of
from pipeline.model.tables import LANDED
from pipeline.night.walk import NETWORK_PATHS
from pipeline.read.packing import MOST_PROCESSES, task_bytes
from pipeline.rules.batches import batch_origins as usual_batch
from pipeline.rules.budget import Budget
from pipeline.rules.cluster import shuffle_partitions
from pipeline.rules.compaction import (
    ROW_BYTES,
    Bounds,
    BucketStats,
    Key,
    KeyRange,
    Weighed,
    by_gain,
    compaction_s,
    ranges,
    within,
)
from pipeline.rules.fetch_order import fetch_order
from pipeline.rules.networks import NETWORK_ORIGINS
from pipeline.rules.partitioning import (
    JVM_ROWS_S,
    PYTHON_ROWS_S,
    TYPICAL_RATIO,
    Partitioning,
    TableStats,
    direct_tasks,
    join_split,
    partition,
    split_of,
)
from pipeline.rules.questions import question_parts
from pipeline.rules.walk import MOST_PATHS

BATCHES, SIMULATED_ORIGINS = 24, 2_000_000
"""Batches of a first crawl that are simulated, fewer if they are large; the others are like them."""

SCANS = 11
"""How often a derivation reads what is stored of ``files`` in the touched buckets: ``night/files.py`` for the lines it
has and to remove rows, ``night/blobs.py`` four times, ``night/repositories.py`` five times."""

FILES_A_PIECE = 2
"""Files of a compacted piece: its rows at HEAD, if they fill one, and its history."""

_COLUMN = {name: number for number, name in enumerate(COLUMNS)}


@dataclass(frozen=True, slots=True)
class FirstCrawl:
    """A first crawl: its batches one after the other, and what they leave.

    Attributes:
        leader_s, leader_bytes: seconds in which only the leader works, and its memory.
        objects: of the NameNode.
    """

    stage: Stage
    batches: int
    leader_s: float
    leader_bytes: float
    content_files: int
    files: int
    objects: int


@dataclass(frozen=True, slots=True)
class Night:
    """A night's fetch tasks, and what it writes.

    Attributes:
        changed_alone_s: what the fetch would take if signals told of every change, and no other origin were visited.
        leader_s, leader_bytes: seconds in which only the leader works: commits, and a rename per landed file; and its
            memory.
        written: by table.
        stored_rows, stored_of_fullest: of ``files`` in the whole archive, and in the fullest bucket.
        of_a_line: rows that a fork with a HEAD of its own has, per file, where there are many.
        paths_left_out: paths of changed origins beyond the limit of a network.
    """

    fetch: Stage
    changed_alone_s: float
    derive: Stage
    leader_s: float
    leader_bytes: float
    files: int
    written: tuple[Written, ...]
    stored_rows: float
    stored_of_fullest: float
    of_a_line: float
    paths_left_out: float


@dataclass(frozen=True, slots=True)
class Compaction:
    """A whole compaction, and how much of the archive one night's budget rewrites; ``files`` are those of contents."""

    stage: Stage
    pieces_of_fullest: int
    key_bytes: float
    scratch_bytes: float
    nightly_share: float
    files: int
    objects: int


def fetch_s(column: dict[str, Floats], answers_s: Floats | float, rates: Rates) -> tuple[Floats, Floats]:
    """CPU seconds of each network's first visit, and seconds of its conversation and download."""
    cpu = np.maximum(column["objects"] / rates.fetched_objects, column["raw"] / rates.fetched_raw_bytes)
    return cpu, answers_s + column["pack"] / assumed.DOWNLOAD_BYTES_S


def first_crawl(
    people: Population,
    rates: Rates,
    threads: int,
    seed: int,
    batch_origins: int | None = None,
    visit_s: float = Limits().total_s,
) -> FirstCrawl:
    """All origins in batches; a fork brings little that its network's first visit has not brought.

    Args:
        batch_origins: None for as many as the platform visits at once.
        visit_s: limit of a visit. What takes longer ends there, and is visited again in one more batch without it.
    """
    random, answers = np.random.default_rng(seed), _answers(seed)
    batch_origins = batch_origins or usual_batch(people.buckets)
    batches = -int(-people.total("origins") // batch_origins)
    new = int(batch_origins * people.total("networks") / people.total("origins"))
    stages, content = [], []
    simulated = min(BATCHES, batches, -(-SIMULATED_ORIGINS // batch_origins))
    for _ in range(simulated):
        stage, with_content = _batch(random, answers, people, new, batch_origins - new, rates, threads, visit_s)
        stages.append(stage)
        content.append(with_content)
    files = len(LANDED) * float(np.mean([each.tasks for each in stages]))
    content_files, all_files = int(batches * np.mean(content)), int(batches * files)
    leader_s = batches * (rates.load_s + files * assumed.RENAME_S / assumed.RENAMES_AT_ONCE)
    scale = batches / simulated
    stage = Stage(
        int(scale * sum(each.tasks for each in stages)),
        scale * sum(each.work_s for each in stages),
        max(each.longest_s for each in stages),
        max(each.indivisible_s for each in stages),
        scale * sum(each.makespan_s for each in stages) + leader_s,
        threads,
        together(stages),
    )
    if visit_s < Limits().total_s:
        stage = stage.then(_long_visits(people, rates, threads, visit_s))
    return FirstCrawl(
        stage,
        batches,
        leader_s,
        assumed.LEADER_BYTES + min(batch_origins, people.total("origins")) * assumed.LEADER_BYTES_A_FIRST_VISIT,
        content_files,
        all_files,
        objects_of(content_files, people.total("pack") * rates.landed_of_pack)
        + objects_of(all_files - content_files, 0),
    )


def objects_of(files: int, stored: float) -> int:
    """Objects of the NameNode for files of a size: an inode each, and their blocks."""
    return files * (1 + max(math.ceil(stored / max(files, 1) / BLOCK_BYTES), 1))


def _batch(
    random: Generator,
    answers: Generator,
    people: Population,
    new: int,
    forks: int,
    rates: Rates,
    threads: int,
    visit_s: float,
) -> tuple[Stage, int]:
    """The fetch tasks of one batch of new networks and of forks, and how many buckets get contents."""
    buckets = people.buckets
    share = (new + forks) / people.total("origins")
    more = _more_parts(random, people, share)
    networks = np.concatenate([any_networks(random, new), more])
    answers_s = hosts.answers_s(answers, len(networks))
    cpu, wait = fetch_s({name: networks[:, at] for name, at in _COLUMN.items()}, answers_s, rates)
    shown = np.minimum(visit_s / (cpu + wait), 1)
    cpu, wait = cpu * shown, wait * shown
    place = bucket_of(_ids(random, len(networks)), buckets)  # type: ignore[arg-type]  # the same rule, on an array
    cpu_by, wait_by, longest = (np.zeros(buckets) for _ in range(3))
    np.add.at(cpu_by, place, cpu)
    np.add.at(wait_by, place, wait)
    of_forks = bucket_of(_ids(random, forks), buckets)  # type: ignore[arg-type]
    np.add.at(wait_by, of_forks, hosts.answers_s(answers, forks))
    np.maximum.at(longest, place, cpu + wait)
    indivisible_s = float(longest.max())
    together = np.minimum(random.poisson(people.of_whole("origins") * share), NETWORK_ORIGINS)  # one after the other
    np.maximum.at(longest, people.large_in()[: len(together)], hosts.sums_s(answers, together))
    busy = np.maximum(cpu_by, wait_by / CONCURRENCY)
    due = fetch_order(_due(np.bincount(place, minlength=buckets)))
    stage = run(np.maximum(busy, longest)[due], threads, indivisible_s=indivisible_s, work_s=float(busy.sum()))
    return stage, len(np.unique(place))


def _long_visits(people: Population, rates: Rates, threads: int, visit_s: float) -> Stage:
    """The batch of those that a limit ended, one each of the networks that are known one by one."""
    whole = people.whole
    cpu, wait = fetch_s({name: whole[:, at] for name, at in _COLUMN.items()}, hosts.MEAN_S, rates)
    long = cpu + wait > visit_s
    visits = np.minimum(cpu + wait, Limits().total_s)[long]
    place = people.large_in()[: len(whole)][long]
    cpu_by, wait_by, longest = (np.zeros(people.buckets) for _ in range(3))
    np.add.at(cpu_by, place, cpu[long])
    np.add.at(wait_by, place, wait[long])
    np.maximum.at(longest, place, visits)
    busy = np.maximum(cpu_by, wait_by / CONCURRENCY)
    due = fetch_order(_due(np.bincount(place, minlength=people.buckets)))
    return run(np.maximum(busy, longest)[due], threads, indivisible_s=float(visits.max()), work_s=float(busy.sum()))


def _more_parts(random: Generator, people: Population, share: float) -> Floats:
    """The networks of which a batch begins another part: each brings the history again, as its first visit did."""
    parts = np.bincount(people.of)
    return np.repeat(people.whole, random.poisson((parts - 1) * share), axis=0)


def _answers(seed: int) -> Generator:
    """What hosts' answers are drawn with, so that the networks are the same however hosts answer."""
    return np.random.default_rng((seed, 1))


def _ids(random: Generator, count: int) -> NDArray[np.int64]:
    """Networks: as even as a hash."""
    return random.integers(0, 1 << 63, count, dtype=np.int64)


def night(people: Population, rates: Rates, threads: int, seed: int) -> Night:
    """Every origin is due: all are asked, in parts, then a bucket's changed ones are visited."""
    random, answers = np.random.default_rng(seed), _answers(seed)
    asked_s = np.maximum(people.bucket("origins") * rates.unchanged_s, _waits_s(answers, people.bucket("origins")))
    changed_s = np.maximum(
        np.maximum(
            people.bucket("pushes") * PUSH_OBJECTS / rates.fetched_objects,
            people.bucket("new_raw") / rates.fetched_raw_bytes,
        ),
        _waits_s(answers, people.bucket("changed")),
    )
    longest = np.zeros(people.buckets)
    np.maximum.at(longest, people.large_in(), hosts.sums_s(answers, people.of_large("changed")))
    due = _due(people.bucket("origins"))
    order, parts = fetch_order(due), question_parts(due)
    asks = [np.full(parts.get(bucket, 0), asked_s[bucket] / parts.get(bucket, 1)) for bucket in order]
    itself_s = np.array([0.0 if bucket in parts else asked_s[bucket] for bucket in order])
    visits_s = itself_s + np.maximum(changed_s, longest)[order]
    fetch = Stage(
        len(order) + sum(map(len, asks)),
        float(asked_s.sum() + changed_s.sum()),
        float(max(visits_s.max(), *(part.max() for part in asks if len(part)), 0.0)),
        float((people.of_large("new_raw") / rates.fetched_raw_bytes).max()),
        makespan_of_groups_s(asks, visits_s, threads),
        threads,
        Sizes.of(np.concatenate([visits_s, *asks])),
    )
    changed = fetch_order(_due(people.bucket("changed")))
    landed = people.total("new_raw") / people.total("raw") * people.total("pack") * rates.landed_of_pack
    files = len(LANDED) * int((people.bucket("pushes") > 0).sum())
    kept = _kept(seed)
    stored = kept.stored(people)
    return Night(
        fetch=fetch,
        changed_alone_s=makespan_s(np.maximum(changed_s, longest)[changed], threads),
        derive=derive(people, kept, threads, random),
        leader_s=rates.load_s + files * assumed.RENAME_S / assumed.RENAMES_AT_ONCE,
        leader_bytes=leader.night_bytes(people),
        files=files,
        written=night_bytes(
            Moved(
                people.total("origins"),
                people.total("changed"),
                landed,
                files=(
                    kept.sum_moved(people, "added"),
                    kept.sum_moved(people, "removed"),
                    float(stored.sum()),
                    kept.sum_moved(people, "changed") * assumed.FILE_ROW_BYTES,
                ),
                blobs=(kept.sum_moved(people, "blobs_added"), kept.sum_moved(people, "blobs_removed")),
            )
        ),
        stored_rows=float(stored.sum()),
        stored_of_fullest=float(stored.max()),
        of_a_line=kept.many.of_a_line,
        paths_left_out=float(np.maximum(kept.compared(people) - NETWORK_PATHS, 0).sum()),
    )


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the rules of lines make of usual networks and of those with many forks."""

    usual: heads.Kept
    many: heads.Kept

    def sum_moved(self, people: Population, what: str) -> float:
        """Rows or paths of all moved origins."""
        of_large = float(people.of_large("changed").sum())
        usual, many = getattr(self.usual, what), getattr(self.many, what)
        return float(of_large * many + (people.total("changed") - of_large) * usual)

    def stored(self, people: Population) -> Floats:
        """Rows of ``files`` by bucket."""
        rows = people.bucket("files") + self.usual.of_a_line * people.bucket("others")
        np.add.at(rows, people.large_in(), (self.many.of_a_line - self.usual.of_a_line) * people.of_large("others"))
        return rows

    def compared(self, people: Population) -> Floats:
        """Entries that are compared or walked, by large network."""
        return self.many.compared * people.of_large("moved_rows")


@lru_cache
def _kept(seed: int) -> _Kept:
    random = np.random.default_rng(seed)
    return _Kept(heads.sampled(random), heads.of_many_forks(random))


def _waits_s(answers: Generator, origins: Floats) -> Floats:
    """Seconds in which a task waits for so many answers, some at once."""
    return hosts.sums_s(answers, origins) / CONCURRENCY


def _due(origins: NDArray[np.generic]) -> dict[int, int]:
    """Due origins by bucket, as a plan counts them."""
    return {bucket: int(count) for bucket, count in enumerate(origins) if count}


def derive(people: Population, kept: _Kept, threads: int, random: Generator) -> Stage:
    """Compare the trees of moved networks, one group each, then change single rows; the touched buckets are read.

    A group takes every tree at HEAD of its network and compares what moved with up to four lines.
    """
    tasks = shuffle_partitions(assumed.cluster(threads))
    moved = people.of_large("changed") > 0
    others = max(people.total("moved_rows") - people.of_large("moved_rows").sum(), 0) * (1 + kept.usual.compared)
    walked = np.full(tasks, others / tasks)
    at_head = (people.of_large("files") + kept.many.of_a_line * people.of_large("others"))[moved]
    large = at_head + np.minimum(kept.compared(people)[moved], NETWORK_PATHS)
    np.add.at(walked, random.integers(0, tasks, len(large)), large)
    read = kept.stored(people)[people.bucket("changed") > 0]
    one_origin_s = min(people.of_large("files").max(), MOST_PATHS) / PYTHON_ROWS_S
    walk = run(walked / PYTHON_ROWS_S, threads, indivisible_s=one_origin_s)
    return walk.then(run(_spread(SCANS * read / JVM_ROWS_S, random), threads, indivisible_s=0))


def contents(people: Population, files: int) -> TableStats:
    """``contents`` as its metadata would show it; all raw bytes count as contents."""
    raw = people.total("raw")
    stored = raw / TYPICAL_RATIO["contents"]
    return TableStats("contents", files, int(people.total("objects")), int(stored), int(raw), people.buckets)


def plan(people: Population, files: int, threads: int) -> Partitioning:
    """How we split a scan of ``contents``."""
    return partition([contents(people, files)], assumed.cluster(threads))


def jvm_scan(people: Population, files: int, rates: Rates, threads: int, seed: int) -> Stage:
    """A scan of all contents by Spark, split as ``partition`` says."""
    return _scan(people, plan(people, files, threads).tables[0].tasks, rates.jvm_bytes, threads, seed)


def python_scan(people: Population, rates: Rates, threads: int, seed: int) -> Stage:
    """The same by Python workers that open the files themselves, in as many tasks as ``direct_tasks`` says."""
    return _scan(people, direct_tasks(int(people.total("raw")), threads), rates.python_bytes, threads, seed)


def _scan(people: Population, tasks: int, bytes_s: float, threads: int, seed: int) -> Stage:
    durations = np.full(tasks, people.total("raw") / tasks / bytes_s)
    return run(
        _spread(durations, np.random.default_rng(seed)),
        threads,
        indivisible_s=RUN_BYTES / bytes_s,
        begins_a_second=assumed.DRIVER_TASKS_S,
    )


def join(people: Population, files: int, rates: Rates, threads: int, seed: int, *, cut: bool) -> Stage:
    """Contents with blobs on ``bucket``: each task reads a part of a bucket of contents, and the bucket of blobs.

    Args:
        cut: whether buckets of contents may be cut, as ``join_split`` says; the view ``files`` permits it not.
    """
    stats = contents(people, files)
    split = split_of(stats.name, TYPICAL_RATIO["contents"], stats.stored_bytes).target_bytes
    most = join_split(split, stats.stored_bytes, threads)
    raw, others_s = people.bucket("raw"), people.bucket("objects") * BLOB_SHARE / JVM_ROWS_S
    pieces = np.ceil(raw / TYPICAL_RATIO["contents"] / most).astype(int)
    parts = np.maximum(pieces, 1) if cut else np.ones(people.buckets, int)
    durations = np.repeat(raw / parts / rates.jvm_bytes + others_s, parts)
    return run(
        _spread(durations, np.random.default_rng(seed)),
        threads,
        indivisible_s=RUN_BYTES / rates.jvm_bytes,
        work_s=float(raw.sum() / rates.jvm_bytes + others_s.sum()),
    )


def compaction(people: Population, rates: Rates, threads: int, seed: int) -> Compaction:
    """Every bucket, the highest gain first, in the pieces into which the platform cuts it, on all threads.

    A piece is written as its rows at HEAD and its history, each a file or more.
    """
    stored = people.bucket("raw") / TYPICAL_RATIO["contents"]
    stats = [
        BucketStats("contents", bucket, 1, int(size), int(rows), 1, int(size), 0, "")
        for bucket, (size, rows) in enumerate(zip(stored, people.bucket("objects"), strict=True))
    ]
    pieces = _pieces(people)
    in_order = [piece for each in within(Budget(), by_gain(stats)) for piece in pieces[each.bucket]]
    raw = np.array([piece.raw_bytes for piece in in_order], float)
    files = FILES_A_PIECE * len(in_order)
    settings = MaintainSection()
    budget = Budget.parse(settings.compact_budget).duration_s or 0.0
    return Compaction(
        run(
            _spread(raw / rates.compacted_raw_bytes, np.random.default_rng(seed)),
            threads,
            indivisible_s=settings.compact_bytes / rates.compacted_raw_bytes,
            begins_a_second=assumed.DRIVER_TASKS_S,
        ),
        pieces_of_fullest=max(map(len, pieces)),
        key_bytes=float(max(piece.key_bytes for piece in in_order)),
        scratch_bytes=float(raw.max()) * (1 + rates.compacted_of_landed / TYPICAL_RATIO["contents"]),
        nightly_share=threads * budget * rates.compacted_raw_bytes / people.total("raw"),
        files=files,
        objects=objects_of(files, people.total("pack") * rates.landed_of_pack * rates.compacted_of_landed),
    )


def _pieces(people: Population) -> list[list[KeyRange]]:
    """The pieces of each bucket. Large networks are weighed one by one, cut as finely as names allow; the others
    in lots of half a piece."""
    bounds = Bounds()
    large: list[list[tuple[float, float]]] = [[] for _ in range(people.buckets)]
    for bucket, *weight in zip(people.large_in(), people.of_large("objects"), people.of_large("raw"), strict=True):
        large[bucket].append((weight[0], weight[1]))
    found = []
    for bucket, (rows, raw) in enumerate(zip(people.bucket("objects"), people.bucket("raw"), strict=True)):
        mine = large[bucket]
        others = max(rows - sum(n for n, _ in mine), 0.0), max(raw - sum(n for _, n in mine), 0.0)
        lots = (lot for weight in (*mine, others) for lot in _lots(weight[0], weight[1], bounds))
        found.append(ranges((Weighed(Key(n), *lot) for n, lot in enumerate(lots)), bounds))
    return found


def _lots(rows: float, raw: float, bounds: Bounds) -> list[tuple[int, int, float]]:
    """Bytes of keys, raw bytes and CPU seconds of equal parts of some rows."""
    keys = rows * (ROW_BYTES + assumed.NAME_BYTES)
    seconds = compaction_s(rows, raw, raw / TYPICAL_RATIO["contents"])
    weights = keys / bounds.key_bytes, raw / bounds.raw_bytes, seconds / bounds.seconds
    count = max(math.ceil(2 * max(weights)), 1)
    return [(int(keys / count), int(raw / count), seconds / count)] * count


def restore(people: Population, rates: Rates, threads: int) -> tuple[Stage, float]:
    """The network with most raw bytes, on one machine; and the memory that it takes.

    Processes pack tasks of contents; one does the rest, and writes the pack, which no design could divide.
    """
    largest = int(people.of_large("raw").argmax())
    objects, raw, pack = (float(people.of_large(name)[largest]) for name in ("objects", "raw", "pack"))
    parts = -(-int(raw) // task_bytes(int(raw), MOST_PROCESSES))
    alone_s = raw / rates.restored_alone_raw_bytes
    packing = np.full(parts, raw / parts / rates.restored_raw_bytes)
    packed = run(packing, threads, indivisible_s=0, at_once=MOST_PROCESSES)
    rest = run(np.array([alone_s]), threads, indivisible_s=pack * rates.restored_of_pack / assumed.DISK_BYTES_S)
    a_tree = assumed.TREE_MEMORY_BYTES * (1 - BLOB_SHARE)
    processes = assumed.PACKING_MEMORY_BYTES + MOST_PROCESSES * (
        assumed.PACKING_MEMORY_BYTES + assumed.BATCH_MEMORY_BYTES
    )
    memory = objects * (a_tree + assumed.WANTED_MEMORY_BYTES + assumed.INDEXED_MEMORY_BYTES) + processes
    return packed.then(rest), memory


def _spread(durations: Floats, random: Generator) -> Floats:
    """Equal work takes unequal time."""
    sigma = assumed.SLOWDOWN_SIGMA
    return durations * np.exp(random.normal(-sigma * sigma / 2, sigma, len(durations)))
