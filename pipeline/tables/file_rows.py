"""``files`` as readers see it, from lines and the trees that origins have at HEAD.

A line has the paths of one root tree, all of them or only those that differ from its base. Origins with equal trees
share a line. All joins are by bucket and network, so rows of ``files`` are not shuffled.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.model.tables import FILE_COLUMNS, GONE, TREE
from pipeline.rules.language_types import other_types

_NETWORK = ["bucket", "network"]
_LINE = [*_NETWORK, "line"]
_OF_PATH = ["path", "path_raw", "name", "ext", "mode", "kind", "oid"]
_PATH = [*_LINE, "path", "path_raw"]
_LANGUAGE = [*_LINE, "language"]


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of ``files`` and which of them stand for the trees of some origins.

    Attributes:
        rows: bucket, network, line and the columns of a path.
        changed: bucket, network, ``mine``, path and path_raw: what a based line has instead of its base, once each.
        roots: bucket, network, tree, line and ``from``, its base.
    """

    rows: DataFrame
    changed: DataFrame
    roots: DataFrame

    @classmethod
    def of(cls, stored: DataFrame) -> Lines:
        """The lines among rows of ``files``."""
        lines = stored.where(F.col("line").isNotNull())
        paths = lines.where(F.col("kind") != TREE)
        changed = paths.where(F.col("base").isNotNull())
        return cls(
            paths.where(F.col("kind") != GONE).select(*_LINE, *_OF_PATH),
            changed.select(*_NETWORK, F.col("line").alias("mine"), "path", "path_raw").distinct(),
            lines.where(F.col("kind") == TREE).select(*_LINE, F.col("base").alias("from"), F.col("oid").alias("tree")),
        )

    def pointing(self, heads: DataFrame) -> DataFrame:
        """The rows of ``heads`` (bucket, network, tree and others) whose tree has a line, with line and ``from``."""
        return heads.where("tree IS NOT NULL").join(self.roots, [*_NETWORK, "tree"])

    def unchanged(self, inherited: DataFrame) -> DataFrame:
        """Those rows of bases, each with ``mine``, that ``mine`` did not change."""
        changed = _renamed(self.changed)
        same = [inherited[name] == changed[f"{name}_"] for name in (*_NETWORK, "mine", "path")]
        return inherited.join(changed, [*same, inherited["path_raw"].eqNullSafe(changed["path_raw_"])], "left_anti")

    def inherited(self, theirs: DataFrame) -> DataFrame:
        """The rows of bases that at least one line based on them still has.

        Args:
            theirs: bucket, network, ``mine``, and its base as ``line``.
        """
        users = theirs.groupBy(*_LINE).agg(F.count("*").alias("users"))
        changes = self.changed.join(theirs, [*_NETWORK, "mine"]).groupBy(*_PATH).agg(F.count("*").alias("changes"))
        changes = _renamed(changes)
        bases = self.rows.join(users, _LINE)
        same = [bases[name].eqNullSafe(changes[f"{name}_"]) for name in _PATH]
        left = bases.join(changes, same, "left")
        return left.where(F.coalesce("changes_", F.lit(0)) < F.col("users")).select(*self.rows.columns)


def _theirs(pointers: DataFrame) -> DataFrame:
    """Pointers to based lines: ``mine``, and as ``line`` its base."""
    based = pointers.where(F.col("from").isNotNull())
    return based.withColumnRenamed("line", "mine").withColumnRenamed("from", "line").drop("tree")


def _renamed(rows: DataFrame) -> DataFrame:
    """The rows under names of their own: Spark takes columns of one table on two sides of a condition for the same."""
    return rows.select(*(F.col(name).alias(f"{name}_") for name in rows.columns))


def file_rows(stored: DataFrame, heads: DataFrame) -> DataFrame:
    """A row per path and origin, with the columns ``FILE_COLUMNS``.

    Args:
        stored: rows of ``files``, in the form of any version.
        heads: bucket, network, origin and tree of each origin, as in ``repositories``; other columns are ignored.
    """
    if "line" not in stored.columns:
        return stored.select(*FILE_COLUMNS)
    earlier = stored.where("line IS NULL").select(*FILE_COLUMNS)
    if "tree" not in heads.columns:
        return earlier
    lines = Lines.of(stored)
    pointers = lines.pointing(heads.select(*_NETWORK, "origin", "tree"))
    own = lines.rows.join(pointers.drop("tree", "from"), _LINE).select(*FILE_COLUMNS)
    inherited = lines.unchanged(lines.rows.join(_theirs(pointers), _LINE)).select(*FILE_COLUMNS)
    return earlier.unionByName(own).unionByName(inherited)


@dataclass(frozen=True, slots=True)
class Pointers:
    """The lines of some trees at HEAD.

    Attributes:
        rows: bucket, network, tree, line and ``from``, each tree once.
        based: whether any of these lines may be based on another.
    """

    rows: DataFrame
    based: bool = True

    @classmethod
    def of(cls, stored: DataFrame, heads: DataFrame) -> Pointers:
        """Those of ``heads`` (bucket, network and tree)."""
        return cls(Lines.of(stored).pointing(heads.select(*_NETWORK, "tree").distinct()))

    @classmethod
    def collected(cls, stored: DataFrame, heads: DataFrame) -> Pointers:
        """The same, few enough for this process and each task, looked up now: that makes far smaller plans."""
        found = cls.of(stored, heads).rows.toArrow()
        based = found["from"].null_count < found.num_rows
        return cls(F.broadcast(stored.sparkSession.createDataFrame(found)), based)

    @property
    def lines(self) -> DataFrame:
        """Bucket, network and line."""
        return self.rows.select(*_LINE)


def rows_at_head(stored: DataFrame, pointers: Pointers) -> DataFrame:
    """The paths at HEAD of at least one origin, without the origins; few rows more than once.

    Args:
        stored: rows of ``files``, of whole networks.
        pointers: of all trees at HEAD of these networks.
    """
    columns = [*_NETWORK, *_OF_PATH]
    lines = Lines.of(stored)
    own = lines.rows.join(pointers.lines, _LINE, "left_semi").select(*columns)
    found = stored.where("line IS NULL").select(*columns).unionByName(own)
    if not pointers.based:
        return found
    theirs = _theirs(pointers.rows)
    return found.unionByName(lines.inherited(theirs).select(*columns))


def sums_by_origin(stored: DataFrame, blobs: DataFrame, heads: DataFrame, pointers: Pointers) -> DataFrame:
    """Files, bytes and main language of each origin whose tree has a line: bucket, origin, files, bytes, language.

    Only programming languages count for the main one.

    Costs what the lines have, not what the origins have: a based line is its base, less what it changed, and its own.

    Args:
        stored: rows of ``files``.
        blobs: rows of ``head_blobs``.
        heads: bucket, network, origin and tree.
        pointers: of the trees of ``heads``.
    """
    lines = Lines.of(stored)
    facts = blobs.select(*_NETWORK, "oid", "size", "language")
    described = lines.rows.join(facts, [*_NETWORK, "oid"], "left")
    per_language = _counted(described.join(pointers.lines, _LINE, "left_semi"))
    if pointers.based:
        columns = per_language.columns
        theirs = _theirs(pointers.rows)
        whole = _counted(described.join(theirs.select(*_LINE).distinct(), _LINE, "left_semi"))
        inherited = whole.join(theirs, _LINE).drop("line").withColumnRenamed("mine", "line")
        changed = _renamed(lines.changed.join(theirs, [*_NETWORK, "mine"]))
        same = [described[name].eqNullSafe(changed[f"{name}_"]) for name in _PATH]
        overridden = described.join(changed, same).withColumn("line", F.col("mine_"))
        without = _counted(overridden, -1)
        for each in (inherited, without):
            per_language = per_language.unionByName(each.select(*columns))
        per_language = per_language.groupBy(*_LANGUAGE).agg(
            F.sum("files").alias("files"), F.sum("bytes").alias("bytes")
        )
    programming = F.col("language").isNotNull() & ~F.col("language").isin(sorted(other_types()))
    main = F.max_by("language", F.when(programming, F.struct("bytes", "language")))
    sums = (
        per_language.where("files > 0")
        .groupBy(*_LINE)
        .agg(F.sum("files").alias("files"), F.sum("bytes").alias("bytes"), main.alias("language"))
    )
    trees = sums.join(pointers.rows.select(*_LINE, "tree"), _LINE)
    origins = heads.select(*_NETWORK, "origin", "tree")
    return origins.join(trees, [*_NETWORK, "tree"]).select("bucket", "origin", "files", "bytes", "language")


def _counted(rows: DataFrame, sign: int = 1) -> DataFrame:
    return rows.groupBy(*_LANGUAGE).agg(
        (F.count("*") * sign).alias("files"), (F.coalesce(F.sum("size"), F.lit(0)) * sign).alias("bytes")
    )
