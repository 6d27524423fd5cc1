"""What is set of origins apart from visits: paused, opted out, resumed, asked for, changed, by people, who need no
lease; and changed, gone, back, by listings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from pipeline.model.errors import UsageError
from pipeline.model.origin import OriginState
from pipeline.model.pattern import OptOuts, Pattern
from pipeline.model.signal import SignalKind
from pipeline.model.tables import ORIGINS
from pipeline.night.opt_outs import Refused, add_opt_outs, leave_closed, opt_outs, place_column, remove_opt_outs
from pipeline.rules.origins import LOOKED_AT, is_gone_unlisted, next_due
from pipeline.tables.change import RowChange, change_rows
from pipeline.tables.conflicts import ATTEMPTS, Seen, TableBusy, until_committed
from pipeline.tables.frames import MOST_BROADCAST, local_frame
from pipeline.tables.iceberg import in_buckets
from pipeline.tables.tombstones import taken_down
from pipeline.tables.writer import Writer, unleased

SLACK = timedelta(minutes=75)
"""What a forge says to have changed before a visit may have come after it: some write times once an hour, and clocks
are wrong."""

_GIVEN = pa.schema([("given", pa.string()), ("key", pa.string()), ("below", pa.bool_())])


@dataclass(frozen=True, slots=True)
class StateChange:
    """The effect on the named origins.

    Attributes:
        state: that they have now; None if only their turn changed.
        changed: number of origins whose state changed, or that a resume made due.
        already: number of named origins that needed no change.
        unknown: patterns that match no origin of the archive.
        rules: number of opt-outs added, or removed by a resume, which also cover origins added later.
    """

    state: OriginState | None
    changed: int
    already: int
    unknown: tuple[str, ...]
    rules: int = 0


class StillOptedOut(UsageError):
    """An origin cannot be resumed while a wider opt-out covers it."""

    def __init__(self, pattern: str, rule: str) -> None:
        super().__init__(pattern, rule)
        self.pattern, self.rule = pattern, rule

    def __str__(self) -> str:
        return f"{self.pattern} falls under the opt-out {self.rule}; nothing was changed. Resume {self.rule} first"


def pause(spark: SparkSession, patterns: Sequence[Pattern]) -> StateChange:
    """Stop visiting origins until they are resumed. Opted-out ones stay opted out."""
    may = F.col("state") != str(OriginState.OPTED_OUT)
    return _change(spark, patterns, OriginState.PAUSED, may & (F.col("state") != str(OriginState.PAUSED)), _as_given)


def opt_out(spark: SparkSession, patterns: Sequence[Pattern]) -> StateChange:
    """Never visit origins again, whatever the scheme of their URLs, including those added later.

    Already archived data stays; a takedown removes it.
    """
    others = F.col("state") != str(OriginState.OPTED_OUT)

    def turn() -> tuple[StateChange, bool]:
        # The rule first: adding an origin reads the rules again afterwards, so one of us sees the other.
        rules = add_opt_outs(spark, patterns)
        found = replace(_change(spark, patterns, OriginState.OPTED_OUT, others, _by_place), rules=rules)
        return found, bool(found.changed or rules)

    return _until_it_holds(turn)


def apply_opt_outs(spark: SparkSession, patterns: Sequence[Pattern]) -> None:
    """Opt out the origins that some opt-outs cover and that were added while these were being written."""
    _change(spark, patterns, OriginState.OPTED_OUT, F.col("state") != str(OriginState.OPTED_OUT), _by_place)


def save(spark: SparkSession, patterns: Sequence[Pattern]) -> StateChange:
    """Ask for a visit: the origins are due at once, and come first if a night may not visit all. Others keep theirs."""
    turn = {"asked_at": F.lit(datetime.now(UTC)), "next_due": F.lit(None).cast("date")}
    return _change(spark, patterns, None, _visited(), _as_given, turn)


def signal(spark: SparkSession, patterns: Sequence[Pattern]) -> StateChange:
    """Tell that origins changed, as an event of their forge does. An earlier signal stays until a visit."""
    kind = F.lit(str(SignalKind.PUSHED))
    return _change(
        spark, patterns, None, _visited() & _is_news(kind), _as_given, _signalled(datetime.now(UTC), F.array(kind))
    )


def signal_listed(writer: Writer, changed: DataFrame, now: datetime, slack: timedelta = SLACK) -> int:
    """Tell that origins changed, as listings show it: those that have been visited, but not since they changed.

    Args:
        changed: ``url``, ``changed_at``, the ``kind`` of the signal, and ``late``: whether that is the time of a
            commit, which may have been made long before it came to the forge. Each row says that it changed since the
            listing before.
        slack: what is said to have changed before a visit by less than this may have come after it.

    Returns:
        How many origins were not known to have changed.
    """
    if changed.isEmpty():
        return 0

    def change() -> int:
        seen = writer.see(ORIGINS.name)
        known = seen.rows().where(_visited() & F.col("last_visit").isNotNull())
        before = F.col("last_visit") - F.lit(slack)
        unseen = (F.col("failures") > 0) | F.col("late") | (F.col("changed_at") > before)
        told = known.join(changed, "url").where(unseen & _is_news(F.col("kind"))).groupBy("bucket", "url")
        first = F.bool_or(F.col("signalled_at").isNull()).alias("first")
        chosen = told.agg(F.collect_set("kind").alias("kinds"), first)
        counts = _write_all(seen, chosen, _signalled(now, F.col("kinds")), F.count_if("first").alias("new"))
        return sum(int(row["new"]) for row in counts)

    return until_committed(ORIGINS.name, change)


def hidden_by_server() -> Column:
    """Whether an origin is gone if listings say so, and nobody asked for another visit since the last one."""
    hidden: Column = is_gone_unlisted(F.col("state"), F.col("last_error"))
    return hidden & F.col("next_due").isNotNull()


def mark_gone(writer: Writer, unlisted: DataFrame, today: date) -> int:
    """Take origins for gone that listings say to be gone, if their servers hide what is.

    Args:
        unlisted: ``url``, all names of repositories that are gone.

    Returns:
        How many.
    """
    due = next_due(today, failures=0, gone=True)
    return _change_at(
        writer, unlisted, hidden_by_server(), {"state": F.lit(str(OriginState.GONE)), "next_due": F.lit(due)}
    )


def bring_back(writer: Writer, listed: DataFrame) -> int:
    """Visit gone origins again, at once.

    Args:
        listed: ``url``, names of repositories that a listing shows again.

    Returns:
        How many were gone.
    """
    gone = F.col("state") == str(OriginState.GONE)
    due = F.lit(None).cast("date")
    return _change_at(writer, listed, gone, {"state": F.lit(str(OriginState.ACTIVE)), "next_due": due})


def _change_at(writer: Writer, urls: DataFrame, wanted: Column, values: Mapping[str, Column]) -> int:
    """Change the wanted origins among those at some URLs, in one commit; returns how many there are."""

    def change() -> int:
        seen = writer.see(ORIGINS.name)
        chosen = seen.rows().where(wanted).join(urls, "url", "left_semi").select("bucket", "url").distinct()
        return sum(int(row["all"]) for row in _write_all(seen, chosen, values))

    return until_committed(ORIGINS.name, change)


def _is_news(kind: Column) -> Column:
    """Whether no signal of a kind has come since the last good visit; null where an earlier version noted one."""
    return F.col("signalled_at").isNull() | ~F.array_contains("signals", kind)


def _signalled(now: datetime, kinds: Column) -> dict[str, Column]:
    """Columns of an origin after signals; the time of the first one stays."""
    first = F.col("signalled_at").isNull()
    both = F.when(first, kinds).otherwise(F.array_union("signals", kinds))
    return {"signalled_at": F.coalesce("signalled_at", F.lit(now)), "signals": F.array_sort(both)}


def _visited() -> Column:
    return F.col("state").isin([str(state) for state in LOOKED_AT])


def keep_out(spark: SparkSession, refused: Iterable[Refused]) -> None:
    """Opt out what is refused, if it was added nevertheless, while its opt-out was being written.

    What was added to a network while that was taken down is removed.
    """
    patterns = [Pattern(each.url) for each in refused if each.in_any_network]
    if patterns:
        _change(spark, patterns, OriginState.OPTED_OUT, F.col("state") != str(OriginState.OPTED_OUT), _as_given)
    leave_closed(spark)


def resume(spark: SparkSession, patterns: Sequence[Pattern]) -> StateChange:
    """Visit origins again, at once, and remove opt-outs with exactly these patterns.

    Origins under another opt-out stay opted out: a narrower one, or one that is added meanwhile.

    Raises:
        StillOptedOut: a wider opt-out covers a pattern.
        UsageError: an origin was taken down.
    """
    _check_free(spark, patterns)
    out, waiting = F.col("state") == str(OriginState.OPTED_OUT), F.col("next_due").isNotNull()
    waiting = waiting | (F.col("state") != str(OriginState.ACTIVE))

    def turn() -> tuple[StateChange, bool]:
        removed = remove_opt_outs(spark, patterns)
        rules = list(opt_outs(spark))

        def select(origins: DataFrame, given: Sequence[Pattern]) -> DataFrame:
            return _as_given_or_opted_out(_with_ruled(origins, rules), given)

        found = _change(spark, patterns, OriginState.ACTIVE, waiting & ~F.col("ruled"), select)
        ruled = _change(spark, patterns, OriginState.OPTED_OUT, ~out & F.col("ruled"), select) if rules else found
        return replace(found, rules=removed), bool(removed or found.changed or ruled.changed)

    return _until_it_holds(turn)


def _check_free(spark: SparkSession, patterns: Sequence[Pattern]) -> None:
    """Check that all patterns may be resumed.

    Raises:
        StillOptedOut, UsageError: as in ``resume``.
    """
    rules = opt_outs(spark)
    gone = OptOuts(map(Pattern, taken_down(spark)[0]))
    for pattern in patterns:
        if gone.rule_for(pattern.url) is not None:
            raise UsageError(f"{pattern} was taken down permanently; nothing was changed")
        rule = rules.rule_for(pattern.url)
        if rule is not None and not any(rule.place == other.place for other in patterns):
            raise StillOptedOut(str(pattern), str(rule))


def _until_it_holds(turn: Callable[[], tuple[StateChange, bool]]) -> StateChange:
    """Take turns until one finds nothing to do; return what all of them did.

    Rules and states are in two tables: a command with the opposite aim may change one while we change the other. Both
    repeat, and the last to change anything has verified afterwards that everything is as it wants.

    Args:
        turn: makes the necessary changes; returns what it found, and whether it changed anything.

    Raises:
        TableBusy: others undid the changes every time.
    """
    first, busy = turn()
    changed, rules = first.changed, first.rules
    for _ in range(ATTEMPTS):
        if not busy:
            return replace(first, changed=changed, rules=rules)
        found, busy = turn()
        changed, rules = changed + found.changed, rules + found.rules
    raise TableBusy(ORIGINS.name, ATTEMPTS, "another command opts out what this one resumes, or the reverse")


def _with_ruled(origins: DataFrame, rules: Sequence[Pattern]) -> DataFrame:
    """The rows with another column, ``ruled``: whether one of some opt-outs covers them."""
    ruled = _by_place(origins, rules).select("bucket", "url").distinct().withColumn("ruled", F.lit(True))
    return origins.join(F.broadcast(ruled), ["bucket", "url"], "left").withColumn(
        "ruled", F.coalesce("ruled", F.lit(False))
    )


def _as_given(origins: DataFrame, patterns: Sequence[Pattern]) -> DataFrame:
    return _named(origins, [(str(pattern), pattern.url, pattern.below) for pattern in patterns], F.col("url"))


def _by_place(origins: DataFrame, patterns: Sequence[Pattern]) -> DataFrame:
    return _named(origins, [(str(pattern), pattern.place, pattern.below) for pattern in patterns], place_column())


def _as_given_or_opted_out(origins: DataFrame, patterns: Sequence[Pattern]) -> DataFrame:
    gone = F.col("state") == str(OriginState.OPTED_OUT)
    return _as_given(origins.where(~gone), patterns).unionByName(_by_place(origins.where(gone), patterns))


def _named(origins: DataFrame, given: Sequence[tuple[str, str, bool]], key: Column) -> DataFrame:
    """The named origins, once per pattern that names them, with the columns of ``origins`` and ``given``."""
    rows = origins.withColumn("named", key)
    names = local_frame(origins.sparkSession, given, _GIVEN)
    exact, prefixes = F.broadcast(names.where("NOT below")), F.broadcast(names.where("below"))
    found = rows.join(exact, rows["named"] == exact["key"])
    if any(below for _, _, below in given):
        found = found.unionByName(rows.join(prefixes, F.startswith(rows["named"], prefixes["key"])))
    return found.drop("named", "key", "below")


def _change(
    spark: SparkSession,
    patterns: Sequence[Pattern],
    state: OriginState | None,
    wanted: Column,
    select: Callable[[DataFrame, Sequence[Pattern]], DataFrame],
    changes: Mapping[str, Column] | None = None,
) -> StateChange:
    """Change the selected origins in one commit.

    Args:
        wanted: which of the selected origins to change; null counts as no.
        changes: new values by column; None gives them the state and makes them due at once.
    """
    values = {"state": F.lit(str(state)), "next_due": F.lit(None).cast("date")} if changes is None else changes

    def change() -> StateChange:
        seen = unleased(spark).see(ORIGINS.name)
        chosen = select(seen.rows(), patterns).withColumn("wanted", F.coalesce(wanted, F.lit(False))).persist()
        try:
            known = {row["given"] for row in chosen.select("given").distinct().collect()}
            each = chosen.select("bucket", "url", "wanted").distinct()
            counts = each.groupBy("bucket").agg(F.count("*").alias("all"), F.count_if("wanted").alias("new")).collect()
            touched = [row["bucket"] for row in counts if row["new"]]
            new = sum(row["new"] for row in counts)
            if touched:
                _write(seen, each.where("wanted").select("bucket", "url"), new, touched, values)
        finally:
            chosen.unpersist()
        unknown = tuple(str(pattern) for pattern in patterns if str(pattern) not in known)
        return StateChange(state, new, sum(row["all"] for row in counts) - new, unknown)

    return until_committed(ORIGINS.name, change)


def _write_all(seen: Seen, chosen: DataFrame, values: Mapping[str, Column], *sums: Column) -> list[Row]:
    """Change the chosen origins as ``_write`` does; returns per bucket how many they are, ``all``, and other sums."""
    chosen = chosen.persist()
    try:
        counts = chosen.groupBy("bucket").agg(F.count("*").alias("all"), *sums).collect()
        count = sum(int(row["all"]) for row in counts)
        if count:
            _write(seen, chosen, count, [row["bucket"] for row in counts], values)
    finally:
        chosen.unpersist()
    return counts


def _write(seen: Seen, chosen: DataFrame, count: int, buckets: Sequence[int], values: Mapping[str, Column]) -> None:
    """Change the origins that are ``chosen``: each once by ``bucket`` and ``url``, with what else the values need."""
    keys = F.broadcast(chosen) if count <= MOST_BROADCAST else chosen
    rows = seen.rows().where(in_buckets(buckets)).join(keys, ["bucket", "url"])
    after = rows.withColumns(dict(values)).select(*ORIGINS.column_names)
    change_rows(seen, RowChange(after, count, chosen.select("bucket", "url"), count, buckets))
