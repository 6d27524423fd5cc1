"""Which due origins a night with a budget visits: the choice of ``rules/schedule.py`` over the table of origins.

Spark finds the last chosen key of every stage digit by digit, by sums per digit; then the choice is a comparison of
columns. What comes to the driver is at most ``2 ** 16`` sums per digit, and per host beyond its limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import reduce
from operator import and_, itemgetter, le, lt
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from pipeline.model.night_summary import Unpromised
from pipeline.model.pattern import Pattern
from pipeline.night.column_arithmetic import COLUMNS
from pipeline.night.counts import counts_of_origin
from pipeline.rules.change_rate import Counts, Dates, Usual
from pipeline.rules.night_budget import HostRequests, NightBudget, Shares, part_of
from pipeline.rules.promise import Hosts, archive_nights, unpromised
from pipeline.rules.schedule import (
    FIRST_OBJECTS,
    MORE_REQUESTS,
    REQUESTS,
    Lane,
    Stage,
    capacity,
    cpu_us,
    most_of_one,
    oldest_first,
    stages,
    worth,
)
from pipeline.tables.frames import local_frame


@dataclass(frozen=True, slots=True)
class Limits:
    """What a night may spend, and how.

    Attributes:
        importance: what a night of waiting counts for the origins of a pattern, the longest one that names it; 1 else.
        greatest_age: nights after which an origin is visited at the latest.
    """

    budget: NightBudget
    hosts: HostRequests = field(default_factory=HostRequests)
    shares: Shares = field(default_factory=Shares)
    importance: Sequence[tuple[Pattern, float]] = ()
    greatest_age: int = 90


class Chosen(NamedTuple):
    """The rows, with ``due`` true only for those that the limits allow, and the hosts that lose the promise."""

    rows: DataFrame
    lost: list[Unpromised]


def choose_due(origins: DataFrame, night: date, limits: Limits) -> Chosen:
    """Choose among the due origins.

    Args:
        origins: rows of ``origins``, one per URL, with ``due``, and ``looked_at``: whether they are ever due.
    """
    states = _with_states(origins, night, limits)
    usual, lost = _look(states.where("looked_at"), limits)
    ranked = _with_promised(states, lost).withColumn("rank", worth(_State(), limits.budget, usual, COLUMNS).cast("int"))
    due = ranked.where("due").select(*_COUNTED).persist()
    try:
        hosts = _cut_hosts(due, limits.shares)
        whole = _cut_night(hosts.of(due).where("taken").drop("taken"), limits)
    finally:
        due.unpersist()
    chosen = hosts.of(ranked).withColumn("due", F.col("due") & F.col("taken")).drop("taken")
    rows = whole.of(chosen).withColumn("due", F.col("due") & F.col("taken")).select(*origins.columns)
    return Chosen(rows, lost)


class _State:
    """The columns of ``_with_states`` as ``worth`` reads them."""

    def __init__(self) -> None:
        self.lane, self.waited, self.signalled = F.col("lane"), F.col("waited"), F.col("told")
        self.cpu_us, self.importance = F.col("cpu_us"), F.col("importance")
        self.counts, self.dates = counts_of_origin(), Dates(F.col("days"), F.col("quiet"))


_COUNTED = ("host", "cap", "lane", "promised", "waited", "rank", "tie", "one", "requests", "cpu_us")


def _with_states(origins: DataFrame, night: date, limits: Limits) -> DataFrame:
    """The rows with what decides about them: see ``rules.schedule.Due``. ``cap``: requests of the host, or null."""
    tonight, failing = F.lit(night), F.coalesce("failures", F.lit(0)) > 0
    lane = (
        F.when(F.col("asked_at").isNotNull(), int(Lane.ASKED))
        .when(F.col("last_status").isNull(), int(Lane.FIRST))
        .when(failing, int(Lane.FAILED))
        .otherwise(int(Lane.KNOWN))
    )
    waited = F.datediff(tonight, F.coalesce("last_visit", "added_at"))
    told = F.when(F.col("signalled_at").isNull(), 0).otherwise(
        F.greatest(F.datediff(tonight, "signalled_at") + 1, F.lit(1))
    )
    first = F.col("last_status").isNull()
    quiet = F.greatest(F.coalesce(F.datediff("last_visit", "newest_commit") - 1, F.lit(0)), F.lit(0))
    objects = F.coalesce("objects", F.when(first, FIRST_OBJECTS).otherwise(0.0))
    news = first | (F.col("told") > 0)
    return (
        origins.withColumn("lane", lane)
        .withColumn("waited", F.greatest(F.coalesce(waited, F.lit(1)), F.lit(1)))
        .withColumn("told", told)
        .withColumn("days", F.coalesce("commit_days", F.lit(0)))
        .withColumn("quiet", quiet)
        .withColumn("one", F.lit(1))
        .withColumn("cpu_us", cpu_us(objects, COLUMNS))
        .withColumn("requests", F.when(news, REQUESTS + MORE_REQUESTS).otherwise(REQUESTS))
        .withColumn("importance", _importance(limits.importance))
        .withColumn("tie", F.shiftrightunsigned(F.xxhash64("url"), 1))
        .withColumn("host", host_column())
        .withColumn("cap", _cap(limits.hosts))
    )


def _importance(patterns: Sequence[tuple[Pattern, float]]) -> Column:
    found = F.lit(1.0)
    for pattern, value in sorted(patterns, key=lambda each: len(each[0].url)):
        named = F.col("url").startswith(pattern.url) if pattern.below else F.col("url") == pattern.url
        found = F.when(named, value).otherwise(found)
    return found


def host_column() -> Column:
    """``model.host.host_of`` of the stored URL of an origin; empty if it has none."""
    authority = F.regexp_extract("url", "^[a-z0-9+.-]+://(?:[^/@]*@)?([^/?]*)", 1)
    return F.regexp_replace(F.regexp_replace(authority, r"\.+(?=:|$)", ""), ":(80|443|9418)$", "")


_THIS_MACHINE = r"^(localhost|127\.[0-9]+\.[0-9]+\.[0-9]+|\[::1\])(:[0-9]+)?$"


def _cap(hosts: HostRequests) -> Column:
    found = F.when(F.col("host").rlike(_THIS_MACHINE), F.lit(hosts.this_machine)).otherwise(F.lit(hosts.others))
    for host, limit in hosts.named.items():
        found = F.when(F.col("host") == host, F.lit(limit)).otherwise(found)
    return found.cast("long")


MOST_HOSTS = 1 << 16
"""Hosts of which each is looked at by itself if the greatest age cannot be promised to all: those that take most."""


class _Looked(NamedTuple):
    """What is known of all origins that are ever due: their usual rates, and the hosts that lose the promise."""

    usual: Usual
    lost: list[Unpromised]


def _look(origins: DataFrame, limits: Limits) -> _Looked:
    oldest = limits.shares.oldest
    sums = (F.sum(column).alias(name) for column, name in zip(counts_of_origin(), _RATES, strict=True))
    hosts = origins.groupBy("host", "cap").agg(
        F.count("*").alias("origins"), F.sum("cpu_us").alias("cpu_us"), F.sum("requests").alias("requests"), *sums
    )
    own = F.when(F.col("cap").isNotNull(), F.col("requests") / part_of(F.col("cap"), oldest, COLUMNS))
    hosts = hosts.withColumns(
        {
            "asked": F.coalesce(F.col("cap") > 0, F.lit(True)),
            "by_archive": archive_nights(F.col("origins"), F.col("cpu_us"), limits.budget, limits.shares),
            "by_host": F.coalesce(own, F.lit(0.0)),
        }
    )
    row = hosts.agg(
        F.sum(F.when(F.col("asked"), F.col("by_archive"))).alias("by_archive"),
        F.max(F.when(F.col("asked"), F.col("by_host"))).alias("by_host"),
        *(F.sum(name).alias(name) for name in _RATES),
    ).collect()[0]
    usual = Usual.of(Counts(*(row[name] or 0.0 for name in _RATES)))
    if 1 + (row["by_archive"] or 0.0) + (row["by_host"] or 0.0) <= limits.greatest_age:
        return _Looked(usual, [])
    most = (F.col("by_archive") + F.col("by_host")).desc()
    rows = hosts.where("asked").orderBy(most, "host").limit(MOST_HOSTS).collect()
    counted = Hosts.of((each["host"], each["origins"], each["by_archive"], each["by_host"]) for each in rows)
    others = (0.0, 0.0)
    if len(rows) == MOST_HOSTS:
        last = rows[-1]["by_archive"] + rows[-1]["by_host"]
        others = max(row["by_archive"] - float(counted.nights.sum()), 0.0), last
    return _Looked(usual, unpromised(counted, limits.greatest_age, others=others))


def _with_promised(origins: DataFrame, lost: Sequence[Unpromised]) -> DataFrame:
    if not lost:
        return origins.withColumn("promised", F.lit(True))
    hosts = local_frame(origins.sparkSession, [(each.host,) for each in lost], pa.schema([("lost", pa.string())]))
    joined = origins.join(F.broadcast(hosts), F.col("host") == F.col("lost"), "left")
    return joined.withColumn("promised", F.col("lost").isNull()).drop("lost")


_RATES = Counts._fields


Amounts = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Cut:
    """What is chosen: by stage and group the key that stays behind, while keys above it are chosen.

    Groups that are not named are chosen whole. ``group`` is the column of groups; None if all rows are the group "".
    """

    group: str | None
    stages: Sequence[Stage]
    bounds: Sequence[Mapping[str, int]]

    def of(self, rows: DataFrame) -> DataFrame:
        """The rows with another column, ``taken``."""
        if not self.bounds or not self.bounds[0]:
            return rows.withColumn("taken", F.lit(self.group is not None or not self.stages))
        names = [(f"first{number}", f"tie{number}") for number in range(len(self.bounds))]
        if self.group is None:
            bounds = [(F.lit(first), F.lit(tie)) for first, tie in (_parts(bound[""]) for bound in self.bounds)]
            return rows.withColumn("taken", self._any(bounds))
        fields = [("group", pa.string()), *((name, pa.int64()) for pair in names for name in pair)]
        groups = [(g, *(part for bound in self.bounds for part in _parts(bound[g]))) for g in sorted(self.bounds[0])]
        limited = F.broadcast(local_frame(rows.sparkSession, groups, pa.schema(fields)))
        taken = F.col("group").isNull() | self._any([(F.col(first), F.col(tie)) for first, tie in names])
        joined = rows.join(limited, rows[self.group] == F.col("group"), "left").withColumn("taken", taken)
        return joined.drop("group", *(name for pair in names for name in pair))

    def _any(self, bounds: Sequence[tuple[Column, Column]]) -> Column:
        """Whether a row is chosen in some stage."""
        found = F.lit(False)
        for stage, (first, tie) in zip(self.stages, bounds, strict=False):
            # One comparison of pairs: Spark copies the formula behind a rank wherever it stands.
            above = F.struct(_first(stage), "tie") > F.struct(first.cast("long"), tie.cast("long"))
            found = found | (_members(stage) & above)
        return found


def _members(stage: Stage) -> Column:
    return F.lit(True) if stage.lane is None else F.col("lane") == int(stage.lane)


def _first(stage: Stage) -> Column:
    """The part of a key that comes before the tie."""
    oldest = oldest_first(F.col("waited"), F.col("promised"), COLUMNS)
    return (oldest if stage.lane is None else F.col("rank")).cast("long")


def _parts(key: int) -> tuple[int, int]:
    return key >> _TIE_BITS, key & ((1 << _TIE_BITS) - 1)


def _cut_hosts(due: DataFrame, shares: Shares) -> _Cut:
    """The choice within each host that has less than its origins take."""
    over = (
        due.where("cap IS NOT NULL").groupBy("host", "cap").agg(F.sum("requests").alias("wanted")).where("wanted > cap")
    )
    capacity = {row["host"]: (int(row["cap"]),) for row in over.select("host", "cap").collect()}
    most = F.greatest(F.floor(F.col("cap") * (1 - shares.oldest)), F.lit(1))
    amounts = [F.least(F.col("requests").cast("long"), most)]
    return _cut(due.where("cap IS NOT NULL"), "host", amounts, capacity, shares)


def _cut_night(due: DataFrame, limits: Limits) -> _Cut:
    """The choice among what is left, given the visits and the CPU time of the night."""
    whole = capacity(limits.budget)
    if whole is None:
        return _Cut(None, (), ())
    most = most_of_one(whole, limits.shares.oldest)
    amounts = [
        F.least(F.col(name).cast("long"), F.lit(int(m))) for name, m in zip(("one", "cpu_us"), most, strict=True)
    ]
    return _cut(due, None, amounts, {"": tuple(map(int, whole))}, limits.shares)


def _cut(
    rows: DataFrame, group: str | None, amounts: Sequence[Column], capacity: Mapping[str, Amounts], shares: Shares
) -> _Cut:
    steps, left = tuple(stages(shares)), dict(capacity)
    bounds: list[Mapping[str, int]] = []
    if not capacity:
        return _Cut(group, steps, ())
    rows = rows.withColumn("g", F.lit("") if group is None else F.col(group))
    for stage in steps:
        rules = {g: _Rule.of(stage, all_, left[g]) for g, all_ in capacity.items() if all(left[g])}
        found = dict.fromkeys(capacity, (_NOTHING, (0,) * len(amounts)))
        if rules:
            rest = _Cut(group, steps, bounds).of(rows).where(~F.col("taken")) if bounds else rows
            sums = (amount.alias(f"a{kind}") for kind, amount in enumerate(amounts))
            keyed = rest.where(_members(stage)).select("g", *_digits(stage), *sums)
            found |= _last_keys(keyed, len(amounts), rules)
        bounds.append({g: key for g, (key, _) in found.items()})
        left = {g: tuple(spare - spent for spare, spent in zip(left[g], found[g][1], strict=True)) for g in left}
    return _Cut(group, steps, bounds)


class _Rule(NamedTuple):
    """What a stage may still spend in a group: its quota, and what is left of all; ``whole`` as in ``Stage``."""

    quota: Amounts
    left: Amounts
    whole: bool

    @classmethod
    def of(cls, stage: Stage, capacity: Amounts, left: Amounts) -> _Rule:
        """The rule of a stage."""
        quota = (int(part_of(limit, stage.share)) for limit in capacity)
        return cls(tuple(map(min, quota, left)), left, stage.whole)

    def takes(self, before: Amounts, after: Amounts) -> bool:
        """Whether one key is taken, given the sums without it and with it."""
        if not all(map(le, after, self.left)):
            return False
        return all(map(lt, before, self.quota)) if self.whole else all(map(le, after, self.quota))

    def takes_all(self, after: Amounts) -> bool:
        """Whether several keys are surely all taken, given the sums with them."""
        return all(map(le, after, self.left)) and all(map(lt if self.whole else le, after, self.quota))


_TIE_BITS = 63
_NOTHING = (1 << (16 + _TIE_BITS)) - 1
"""The greatest key: no other is above it."""

_WIDTHS = (16, 16, 16, 16, 15)
"""Bits of the digits of a key: what comes first, then those of the tie."""


def _digits(stage: Stage) -> Iterator[Column]:
    for number, width in enumerate(_WIDTHS):
        below = sum(_WIDTHS[number + 1 :])
        column, shift = (F.col("tie"), below) if number else (_first(stage), 0)
        yield F.shiftright(column, shift).bitwiseAND(F.lit((1 << width) - 1)).cast("int").alias(f"d{number}")


class _Open(NamedTuple):
    """A group whose last key is being looked for: its first digits so far, and the sums of all keys above them."""

    digits: tuple[int, ...]
    sums: Amounts


def _last_keys(rows: DataFrame, kinds: int, rules: Mapping[str, _Rule]) -> dict[str, tuple[int, Amounts]]:
    """By group the key that stays behind, -1 if none does, and the sums of what is chosen."""
    done: dict[str, tuple[int, Amounts]] = {}
    looking = {group: _Open((), (0,) * kinds) for group in rules}
    for level in range(len(_WIDTHS)):
        counted = _sums(rows, kinds, level, looking)
        for group, at in list(looking.items()):
            step = _walk(at, counted.get(group, []), rules[group], last=level == len(_WIDTHS) - 1)
            if isinstance(step, _Open):
                looking[group] = step
            else:
                done[group] = step
                del looking[group]
        if not looking:
            break
    return done


def _sums(rows: DataFrame, kinds: int, level: int, looking: Mapping[str, _Open]) -> dict[str, list[Row]]:
    """By group the sums of each digit, the greatest first, for keys that begin with the digits found so far."""
    before = [f"d{number}" for number in range(level)]
    if len(looking) == 1:
        ((group, at),) = looking.items()
        wanted = rows.where(
            reduce(and_, (F.col(d) == v for d, v in zip(before, at.digits, strict=True)), F.col("g") == group)
        )
    else:
        schema = pa.schema([("g", pa.string()), *((name, pa.int32()) for name in before)])
        prefixes = local_frame(rows.sparkSession, [(group, *at.digits) for group, at in looking.items()], schema)
        wanted = rows.join(F.broadcast(prefixes), ["g", *before], "left_semi")
    sums = (F.sum(f"a{kind}").alias(f"a{kind}") for kind in range(kinds))
    found: dict[str, list[Row]] = {}
    for row in wanted.groupBy("g", F.col(f"d{level}").alias("digit")).agg(F.count("*").alias("rows"), *sums).collect():
        found.setdefault(row["g"], []).append(row)
    return {group: sorted(some, key=itemgetter("digit"), reverse=True) for group, some in found.items()}


def _walk(at: _Open, digits: Sequence[Row], rule: _Rule, *, last: bool) -> _Open | tuple[int, Amounts]:
    """Take digits from the greatest down; look closer at the first that is not surely taken whole."""
    sums = at.sums
    for row in digits:
        after = tuple(s + row[f"a{kind}"] for kind, s in enumerate(sums))
        single = last or row["rows"] == 1
        if not (rule.takes(sums, after) if single else rule.takes_all(after)):
            here = (*at.digits, row["digit"])
            return (_key(here) + (1 << _below(len(here))) - 1, sums) if single else _Open(here, sums)
        sums = after
    return (_key(at.digits) - 1 if at.digits else -1), sums


def _below(count: int) -> int:
    """The bits of a key below its first digits."""
    return sum(_WIDTHS[count:])


def _key(digits: Sequence[int]) -> int:
    """The least key that begins with these digits."""
    key = 0
    for digit, width in zip(digits, _WIDTHS, strict=False):
        key = key << width | digit
    return key << _below(len(digits))
