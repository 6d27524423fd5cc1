"""Merges what forges list into ``listings``, and what may be archived of it into ``origins``. Rows stay in Spark."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from pipeline.model.layout import ForgePass
from pipeline.model.listing import LISTINGS, PAGE, Merged
from pipeline.model.origin import OriginState
from pipeline.model.pattern import OptOuts, Pattern
from pipeline.model.signal import SignalKind
from pipeline.model.tables import NAMESPACE, ORIGINS, spark_type
from pipeline.night.opt_outs import leave_closed, opt_outs
from pipeline.night.standing import apply_opt_outs, bring_back, hidden_by_server, mark_gone, signal_listed
from pipeline.rules.listings import OPTED_OUT, TAKEN_DOWN, Wanted, kept_out, refusal
from pipeline.rules.networks import NETWORK_ORIGINS
from pipeline.tables.change import CHANGED_BY_ROW
from pipeline.tables.conflicts import Seen, creating, nothing, overwrite, until_committed
from pipeline.tables.create import add_columns, quoted
from pipeline.tables.frames import read_parquet
from pipeline.tables.iceberg import full_name, table_exists
from pipeline.tables.tombstones import taken_down
from pipeline.tables.writer import Writer

log = logging.getLogger(__name__)

DEEPEST = 4
"""Forks of forks are followed so far up; what lies deeper gets the network of the repository reached by then."""

FEW = 200
"""Ids that a condition lists one by one; Iceberg looks for no more in the least and greatest ids of files."""

FILE_BYTES, GROUP_BYTES = 16 << 20, 1 << 20
"""Sizes of files and row groups of ``listings``: of both those are read that may have an id.

Smaller groups would cost more than they save: Iceberg reads the footer of a file for each group of it.
"""

_DETAILS = (
    "parent_id", "parent_url", "archived", "empty", "mirror", "size_bytes", "default_branch", "license", "stars",
    "changed_at", "head",
)  # fmt: skip
"""What a forge may say apart from its pages."""

_VIEW = "listed_repositories"


def merge_pages(
    writer: Writer,
    place: ForgePass,
    pages: Sequence[str],
    wanted: Wanted,
    buckets: int,
    now: datetime,
    *,
    missing_since: int | None = None,
    by_commits: bool = False,
    has_details: bool = False,
) -> Merged:
    """Merge pages of a pass. May be called again after a kill at any point; then less is new.

    A known id at another URL is a move: the new URL becomes an origin in the network of the old one. A known URL with
    another id changes nothing in ``origins``. Forks go to the network of the root that listings and origins know.
    What changed since the listing before is a signal for its origin, written before the listing is. A gone origin is
    visited again if its repository is shown and was not, or not there. One whose repository is gone is, too, if its
    server hides that.

    Args:
        pages: URIs of page files.
        wanted: opt-outs and takedowns are added to it here.
        buckets: number of buckets of the archive.
        now: with time zone.
        missing_since: after the last page of a complete full pass, the number of the one before: what neither of them
            nor a pass between them showed is gone. None to conclude nothing.
        by_commits: whether times of change are those of the newest commits, as those of mirrors are.
        has_details: whether the forge says apart from its pages what they lack. Of a repository of which it could not,
            what the listing before said of that stays.
    """
    spark = writer.spark
    _create(spark)
    add_columns(writer, LISTINGS)
    rules, (gone_urls, closed) = opt_outs(spark), taken_down(spark)
    wanted = replace(wanted, opted_out=rules, taken_down=OptOuts(map(Pattern, gone_urls)))
    seen = writer.see(LISTINGS.name)
    gone = 0
    try:
        shown = _newest(read_parquet(spark, PAGE, pages)).persist()
        concerned = _among(shown.select("forge_id"))
        before = seen.rows().where(F.col("forge") == place.forge).where(concerned.sql("forge_id"))
        if has_details:
            shown = _completed(shown, before)
        rows = _merged(before, place, shown, wanted, now).persist()
        counts = rows.groupBy("refused").agg(
            F.count("*").alias("listed"), F.count_if("is_new").alias("new"), F.count_if("has_moved").alias("moved")
        )
        counted = counts.collect()
        signalled = signal_listed(writer, _changed(rows, by_commits=by_commits), now)
        if counted:
            _write(seen, place, concerned, rows.select(*LISTINGS.column_names))
        may = rows.where("refused IS NULL").select(
            "forge_id", "url", "parent_id", "parent_url", "moved_from", "has_come"
        )
        listed = writer.see(LISTINGS.name).rows().where(F.col("forge") == place.forge)
        added, back = until_committed(ORIGINS.name, lambda: _add(writer, may, listed, buckets, closed, now))
        if not back.isEmpty():
            log.info("%s: it shows %d origins again that were gone", place.forge, bring_back(writer, back))
        has_refused = any(row["refused"] in (OPTED_OUT, TAKEN_DOWN) for row in counted)
        _keep_out(spark, rules, gone_urls, rows, has_refused=has_refused)
        if missing_since is not None:
            gone = _mark_gone(writer, place, missing_since, now)
            _mark_origins_gone(writer, place, now)
    finally:
        spark.catalog.clearCache()  # unpersist() finds nothing after a commit to the table that it reads
    return Merged(
        listed=sum(row["listed"] for row in counted),
        new=sum(row["new"] for row in counted),
        moved=sum(row["moved"] for row in counted),
        refused={row["refused"]: row["listed"] for row in counted if row["refused"] is not None},
        origins=added,
        signalled=signalled,
        gone=gone,
    )


def _create(spark: SparkSession) -> None:
    if table_exists(spark, LISTINGS.name):
        return
    columns = ", ".join(f"{c.name} {spark_type(c.type)} COMMENT {quoted(c.doc)}" for c in LISTINGS.columns)
    by_row = {name: value for name, value in CHANGED_BY_ROW.items() if name.startswith("write.") and "wap" not in name}
    sizes = {"write.target-file-size-bytes": FILE_BYTES, "write.parquet.row-group-size-bytes": GROUP_BYTES}
    wanted = {"format-version": "3", **by_row, **sizes}
    properties = ", ".join(f"'{name}' = '{value}'" for name, value in wanted.items())
    with creating(spark, NAMESPACE):
        spark.sql(
            f"CREATE TABLE IF NOT EXISTS {full_name(LISTINGS.name)} ({columns}) USING iceberg PARTITIONED BY (forge) "
            f"COMMENT {quoted(LISTINGS.doc)} TBLPROPERTIES ({properties})"
        )
        spark.sql(
            f"ALTER TABLE {full_name(LISTINGS.name)} WRITE DISTRIBUTED BY PARTITION LOCALLY ORDERED BY forge, forge_id"
        )


@dataclass(frozen=True, slots=True)
class _Among:
    """Ids of a forge: the least and the greatest, and each if they are few. Files without any are not read."""

    least: str
    most: str
    ids: tuple[str, ...]

    def sql(self, column: str) -> str:
        """A condition that holds for them, and for what lies between if they are many."""
        between = f"{column} BETWEEN {quoted(self.least)} AND {quoted(self.most)}"
        return f"{between} AND {column} IN ({', '.join(map(quoted, self.ids))})" if self.ids else between


def _among(ids: DataFrame) -> _Among:
    """What a column has; of an empty one, a condition that nothing meets."""
    (name,) = ids.columns
    row = ids.agg(F.min(name).alias("least"), F.max(name).alias("most"), F.count("*").alias("count")).collect()[0]
    some = ids.collect() if row["count"] <= FEW else []
    return _Among(row["least"] or "", row["most"] or "", tuple(sorted(each[name] for each in some)))


def _newest(pages: DataFrame) -> DataFrame:
    """Each repository once, as the last page that has it shows it."""
    columns = [name for name in PAGE.column_names if name != "page"]
    newest = pages.groupBy("forge_id").agg(F.max_by(F.struct(*columns), "page").alias("last"))
    return newest.select("last.*")


def _completed(shown: DataFrame, before: DataFrame) -> DataFrame:
    """What is shown, with the details that the listing before had where there are none now.

    Then a forge does not say whether a repository is empty, as it does in all details.
    """
    known = before.select("forge_id", *(F.col(name).alias(f"{name}_before") for name in _DETAILS))
    lacks = F.col("empty").isNull()

    def completed(name: str) -> Column:
        holds = lacks & F.col("fork") if name.startswith("parent_") else lacks
        return F.when(holds, F.coalesce(name, f"{name}_before")).otherwise(F.col(name)).alias(name)

    columns = (completed(name) if name in _DETAILS else F.col(name) for name in shown.columns)
    return shown.join(known, "forge_id", "left").select(*columns)


def _merged(before: DataFrame, place: ForgePass, shown: DataFrame, wanted: Wanted, now: datetime) -> DataFrame:
    """The rows of ``listings`` for what is shown, and whether each is new or has moved.

    Args:
        before: rows of the forge, among them all with these ids.
    """
    before = before.select(
        "forge_id", F.col("url").alias("url_before"), F.col("moved_from").alias("moved_before"),
        F.col("refused").alias("refused_before"), F.col("changed_at").alias("changed_before"),
        F.col("fingerprint").alias("fingerprint_before"), F.col("head").alias("head_before"), "first_seen",
        F.col("gone_at").alias("gone_before"), F.col("last_pass").alias("pass_before"),
    )  # fmt: skip

    def judge(
        url: str, fork: bool | None, archived: bool | None, private: bool | None, empty: bool | None, size: int | None
    ) -> str | None:
        return refusal(wanted, url, fork=fork, archived=archived, private=private, empty=empty, size_bytes=size)

    def keep_out(url: str | None) -> str | None:
        return None if url is None else kept_out(wanted, url)

    judged, kept = F.udf(judge, "string", useArrow=False), F.udf(keep_out, "string", useArrow=False)
    has_moved = F.coalesce(F.col("url_before") != F.col("url"), F.lit(False))
    # Whoever is kept out stays out under another name.
    stays_out = (F.col("refused_before") == TAKEN_DOWN) | (has_moved & (F.col("refused_before") == OPTED_OUT))
    refused = F.coalesce(
        F.when(stays_out, F.col("refused_before")),
        kept("url_before"),
        kept("moved_before"),
        judged("url", "fork", "archived", "private", "empty", "size_bytes"),
    )
    # The name that is kept out is remembered, however often a repository moves.
    was = F.when(has_moved & kept("moved_before").isNull(), F.col("url_before")).otherwise(F.col("moved_before"))
    # A merge that was killed has written the listing, too: what a pass shows twice may have come with it.
    was_there = F.col("gone_before").isNull() & (F.col("pass_before") < place.number) & ~has_moved
    joined = shown.join(before, "forge_id", "left")
    return joined.select(
        F.lit(place.forge).alias("forge"),
        *(name for name in PAGE.column_names if name != "page"),
        was.alias("moved_from"),
        refused.alias("refused"),
        F.coalesce("first_seen", F.lit(now)).alias("first_seen"),
        F.lit(now).alias("last_seen"),
        F.lit(place.number).cast("bigint").alias("last_pass"),
        F.lit(None).cast("timestamp").alias("gone_at"),
        F.col("url_before").isNull().alias("is_new"),
        has_moved.alias("has_moved"),
        (~F.coalesce(was_there, F.lit(False))).alias("has_come"),
        "changed_before",
        "fingerprint_before",
        "head_before",
    )


def _changed(rows: DataFrame, *, by_commits: bool) -> DataFrame:
    """What ``signal_listed`` takes. A time of a commit says something only if the listing before had another one.

    Of two fingerprints, nothing else says anything. Another HEAD does: where no time moved with it, it is another
    branch; where one did, that says whether it came after the visit.
    """
    differs = F.col("fingerprint") != F.col("fingerprint_before")  # null if one is
    time_moved = F.expr("changed_at IS NOT NULL AND NOT changed_at <=> changed_before")
    head_moved = F.coalesce(F.col("head") != F.col("head_before"), F.lit(False))
    changed = rows.where("refused IS NULL").where(F.coalesce(differs, time_moved | head_moved))
    late = F.lit(by_commits) | F.coalesce("mirror", F.lit(False))
    kinds = (F.when(time_moved, kind_of_time(late)), F.when(head_moved, str(SignalKind.HEAD)))
    by_fingerprint = F.when(differs, F.array(F.lit(str(SignalKind.FINGERPRINT))))
    told = changed.select(
        "url",
        "changed_at",
        F.coalesce(by_fingerprint, F.array_compact(F.array(*kinds))).alias("kinds"),
        F.coalesce(differs, (late & F.col("changed_before").isNotNull()) | (head_moved & ~time_moved)).alias("late"),
    )
    named = told.withColumn("url", F.explode(F.array(*both_names("url"))))
    return named.select("url", "changed_at", F.explode("kinds").alias("kind"), "late")


def kind_of_time(late: Column) -> Column:
    """The kind of a signal by a time of change, by whether that is the time of a commit."""
    return F.when(late, str(SignalKind.COMMITTED)).otherwise(str(SignalKind.UPDATED))


def _write(seen: Seen, place: ForgePass, concerned: _Among, rows: DataFrame) -> None:
    rows.createOrReplaceTempView(_VIEW)
    try:
        with seen.iceberg.committing():
            seen.spark.sql(
                f"MERGE INTO {seen.name} t USING {_VIEW} s "
                f"ON t.forge = '{place.forge}' AND t.forge_id = s.forge_id AND {concerned.sql('t.forge_id')} "
                "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
            )
    finally:
        seen.spark.catalog.dropTempView(_VIEW)


def _mark_gone(writer: Writer, place: ForgePass, missing_since: int, now: datetime) -> int:
    seen = writer.see(LISTINGS.name)
    condition = f"forge = '{place.forge}' AND gone_at IS NULL AND last_pass < {missing_since}"
    count = seen.rows().where(condition).count()
    if count:
        with seen.iceberg.committing():
            moment = f"timestamp_micros({int(now.timestamp() * 1e6)})"
            writer.spark.sql(f"UPDATE {seen.name} SET gone_at = {moment} WHERE {condition}")  # noqa: S608 - our own names
    return count


def _mark_origins_gone(writer: Writer, place: ForgePass, now: datetime) -> None:
    """Take those for gone whose repositories are, if their servers hide that, and nothing else has their names."""
    listings = writer.see(LISTINGS.name).rows().where(F.col("forge") == place.forge)

    def names(condition: str) -> DataFrame:
        return listings.where(condition).select(F.explode(F.array(*both_names("url"))).alias("url"))

    origins = writer.see(ORIGINS.name).rows().where(hidden_by_server())
    hidden = origins.select("url").join(names("gone_at IS NOT NULL"), "url", "left_semi").persist()
    if not hidden.isEmpty():
        gone = mark_gone(writer, hidden.join(names("gone_at IS NULL"), "url", "left_anti"), now.date())
        log.info("%s: it lists %d origins no more whose server asks for a login; they are gone", place.forge, gone)


def _keep_out(
    spark: SparkSession, rules: OptOuts, gone: Collection[str], rows: DataFrame, *, has_refused: bool
) -> None:
    """Keep out what was opted out or taken down while origins were added: each side looks after it has written.

    If the merge before was killed at this point, these are origins that the merge now refuses; so is an origin to whose
    name something kept out has moved, in this merge, too.

    Args:
        rows: what the merge shows.
        has_refused: whether any of it was kept out already.
    """
    late = [rule for rule in opt_outs(spark) if rules.rule_for(rule.url) is None]
    late += [Pattern(url) for url in taken_down(spark)[0].difference(gone)]
    if late or has_refused:
        named = OptOuts(late)
        is_late = F.udf(lambda url: url is not None and named.rule_for(url) is not None, "boolean", useArrow=False)
        refused = rows.where(F.col("refused").isin(OPTED_OUT, TAKEN_DOWN) | is_late("moved_from"))
        both = refused.select(F.explode(F.array(*both_names("url"))).alias("url"))
        asked = spark.table(full_name(ORIGINS.name)).where(F.col("state") != str(OriginState.OPTED_OUT)).select("url")
        late += [Pattern(row["url"]) for row in both.join(asked, "url").distinct().collect()]
    if late:
        apply_opt_outs(spark, late)
    leave_closed(spark)


# Origins


def _add(
    writer: Writer, may: DataFrame, listed: DataFrame, buckets: int, closed: Collection[int], now: datetime
) -> tuple[int, DataFrame]:
    """Add what is no origin yet; returns how many, and the ``url`` of gone origins whose repositories have come."""
    seen = writer.see(ORIGINS.name)
    known = seen.rows().select("url", "state", F.coalesce("fork_of", "url").alias("root"))
    there = _known(may, known).persist()
    # Unlike what persist() keeps, it outlives the commit.
    back = there.where((F.col("state") == str(OriginState.GONE)) & F.col("has_come")).select("url").localCheckpoint()
    new = may.join(there.select("forge_id").distinct(), "forge_id", "left_anti").persist()
    if new.isEmpty():
        return 0, back
    rooted = _rooted(new, listed, known)
    rows = _placed(rooted, seen.rows(), buckets, closed, now).persist()
    count = rows.count()
    if count:
        overwrite(rows, seen, nothing())
    return count, back


def _known(may: DataFrame, known: DataFrame) -> DataFrame:
    """Those whose URL is an origin's, with or without ``.git``: once with each such origin."""
    spelled = may.select("forge_id", "has_come", F.explode(F.array(*both_names("url"))).alias("url"))
    return spelled.join(known, "url").select("forge_id", "has_come", "url", "state")


def _bare(url: str | Column) -> Column:
    """A URL without ``.git``, with which it names the same repository."""
    return F.regexp_replace(url, r"\.git$", "")


def both_names(url: str | Column) -> tuple[Column, Column]:
    """Both names of a repository."""
    return _bare(url), F.concat(_bare(url), F.lit(".git"))


def _rooted(new: DataFrame, listed: DataFrame, known: DataFrame) -> DataFrame:
    """New origins, url and fork_of: the root of the network that each belongs to, null for its own.

    Each step up reads the rows of parents alone, and what it found is kept.
    """
    found = new.withColumns({"root": F.col("parent_url"), "was": F.lit(None).cast("string")})
    for _ in range(DEEPEST):
        parents = _among(found.where("parent_id IS NOT NULL").select("parent_id").distinct())
        if not parents.most:
            break
        up = listed.where(parents.sql("forge_id")).select(
            F.col("forge_id").alias("up_id"), F.col("url").alias("up_url"), F.col("moved_from").alias("up_was"),
            F.col("parent_id").alias("next_id"), F.col("parent_url").alias("next_url"),
        )  # fmt: skip
        step = found.join(up, F.col("parent_id") == F.col("up_id"), "left")
        on = F.col("next_id").isNotNull()
        found = step.select(
            "forge_id", "url", "moved_from", F.col("next_id").alias("parent_id"),
            F.when(on, F.col("next_url")).otherwise(F.coalesce("up_url", "root")).alias("root"),
            F.when(on, F.lit(None)).otherwise(F.coalesce("up_was", "was")).alias("was"),
        ).persist()  # fmt: skip
    names = found.select(F.explode(F.array(*map(_bare, ("moved_from", "was", "root")))).alias("name")).distinct()
    there = known.select(_bare("url").alias("name"), "root").join(names, "name")
    by_name = there.groupBy("name").agg(F.min("root").alias("its_root")).persist()
    for name in ("moved_from", "was", "root"):
        there = by_name.select(F.col("name").alias(f"{name}_name"), F.col("its_root").alias(f"{name}_root"))
        found = found.join(there, _bare(name) == F.col(f"{name}_name"), "left")
    root = F.coalesce("moved_from_root", "root_root", "was_root", "root")
    return found.select("url", F.when(root != F.col("url"), root).alias("fork_of")).dropDuplicates(["url"])


def _placed(rooted: DataFrame, origins: DataFrame, buckets: int, closed: Collection[int], now: datetime) -> DataFrame:
    """Rows of ``origins``: as ``rules.networks.placed`` places forks, without those of networks taken down."""
    forks = origins.where("fork_of IS NOT NULL").groupBy("fork_of").agg(F.count("*").alias("there"))
    root = F.coalesce("fork_of", "url")
    so_far = Window.partitionBy(root).orderBy("url").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    number = F.coalesce("there", F.lit(0)) + F.count("fork_of").over(so_far)
    part = F.when(F.col("fork_of").isNotNull(), F.floor(number / NETWORK_ORIGINS)).otherwise(F.lit(0))
    found = rooted.join(forks, "fork_of", "left").withColumn("part", part.cast("bigint"))
    if closed:
        refused = F.array(*(F.lit(network).cast("bigint") for network in sorted(closed)))
        for spelled in both_names(root):
            found = found.where(~F.array_contains(refused, network_column(spelled, F.lit(0))))
        later = F.sequence(F.col("part"), F.col("part") + len(closed))
        is_open = F.filter(later, lambda each: ~F.array_contains(refused, network_column(root, each)))
        found = found.withColumn("part", F.when(F.col("part") > 0, is_open[0]).otherwise(F.col("part")))
    network = network_column(root, F.col("part"))
    values: dict[str, Column] = {
        "bucket": F.pmod(F.col("network"), F.lit(buckets)).cast("int"),
        "state": F.lit(str(OriginState.ACTIVE)),
        "added_at": F.lit(now),
        "failures": F.lit(0),
        "commit_days": F.lit(0),
    }
    kept = found.select("url", "fork_of", network.alias("network"))
    return kept.select(
        *(
            values.get(column.name, F.lit(None).cast(spark_type(column.type))).alias(column.name)
            if column.name not in kept.columns
            else F.col(column.name)
            for column in ORIGINS.columns
        )
    )


def network_column(root: Column, part: Column) -> Column:
    """``network_id`` as a column: the top 63 bits of the SHA-256 of the root's URL, and of a part unless it is 0."""
    name = F.when(part == 0, root).otherwise(F.concat(root, F.lit(" "), part.cast("string")))
    top = F.conv(F.substring(F.sha2(name, 256), 1, 16), 16, 10).cast("decimal(20,0)")
    return F.floor(top / 2).cast("bigint")
