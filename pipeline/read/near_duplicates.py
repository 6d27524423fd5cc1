"""Pairs of texts that are nearly the same, by locality-sensitive hashing of their signatures."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.read.minhash import PLACES

SIGNED = "places array<int>, bands array<bigint>"
"""Columns of a signature."""


def similar_pairs(signed: DataFrame, key: str, least: float) -> DataFrame:
    """Pairs of rows whose estimated similarity is at least ``least``.

    A row is compared with two of those that it shares a band with: the first of them and the one before it, by key. So
    a group of n has about n pairs, not n²; all of a group follow from its pairs by transitivity. What is shuffled are
    keys by band, and signatures once a pair.

    Args:
        signed: rows with the columns ``SIGNED`` and others; it is read three times.
        key: a column that is different in each row.

    Returns:
        The columns of the row with the greater key except its signature, those of the other as ``like_NAME``, and
        ``similarity``, the share of equal places.
    """
    like = f"like_{key}"
    in_band = Window.partitionBy("band").orderBy(key)
    placed = signed.select(key, F.explode("bands").alias("band")).select(
        key, F.first(key).over(in_band).alias("first"), F.lag(key).over(in_band).alias("before")
    )
    candidates = placed.select(key, F.explode(F.array("first", "before")).alias(like)).where(F.col(like) < F.col(key))
    left = signed.drop("bands")
    right = left.select(*(F.col(name).alias(f"like_{name}") for name in left.columns))
    equal = F.size(F.filter(F.zip_with("places", "like_places", lambda one, other: one == other), lambda same: same))
    pairs = candidates.distinct().join(left, key).join(right, like).withColumn("similarity", equal / PLACES)
    return pairs.where(F.col("similarity") >= least).drop("places", "like_places")
