"""Text files at HEAD that are nearly the same, over all repositories, by MinHash and locality-sensitive hashing.

Similarity is that of Jaccard over runs of five words and signs; space does not count. Files are compared that are text,
of at most 1 MiB, and have at least 20 such runs; equal files are one. A file is compared with two of those that it
shares a band with, so a group of n has about n rows, not n²: all of a group follow from its rows by transitivity.
All 30 pairs with a similarity of 0.8 or more among 637 such files of four repositories are estimated as such, and so
are 10 below it.
Result, one row per pair whose estimated similarity is at least 0.8 (of pairs at 0.8, 99.8 % share a band):

==========  ======  ==========================================================================
oid         binary  id of the blob
name        string  a name that it was first seen under
like_oid    binary  id of another that it is like; the smaller one of the two ids
like_name   string  a name that the other was first seen under
similarity  double  estimated similarity, 0.8 to 1; its standard error is 0.036 at 0.8
==========  ======  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field
from pyspark import StorageLevel
from pyspark.sql import DataFrame

from pipeline.model.rows import BINARY_PROBE_BYTES
from pipeline.read.archive import Archive
from pipeline.read.minhash import MOST_BYTES, SIMILAR, bands, signature_of
from pipeline.read.near_duplicates import SIGNED, similar_pairs

READS = ["contents"]

TYPES = f"oid binary, name string, {SIGNED}"

_COLUMNS = ("oid", "name", "size", "content")
_ARROW = pa.schema(
    [
        ("oid", pa.binary()),
        ("name", pa.string()),
        ("places", pa.list_(pa.int32())),
        ("bands", pa.list_(pa.int64())),
    ]
)


def sign(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The signature of each row that is compared."""
    for batch in batches:
        rows = []
        for oid, name, size, content in zip(*(batch[column] for column in _COLUMNS), strict=True):
            places = _signature(content.as_py()) if size.as_py() <= MOST_BYTES else None
            if places is not None:
                rows.append((oid.as_py(), name.as_py(), places, bands(places)))
        if rows:
            columns = zip(*rows, strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(columns, _ARROW, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=_ARROW)


def _signature(content: bytes) -> npt.NDArray[np.int32] | None:
    return None if b"\0" in content[:BINARY_PROBE_BYTES] else signature_of(content)


def pairs(signed: DataFrame, least: float = SIMILAR) -> DataFrame:
    """Similar pairs.

    Args:
        signed: what ``sign`` returns, kept where it need not be computed three times.
        least: estimated similarity of a pair.
    """
    found = similar_pairs(signed, "oid", least)
    return found.select("oid", "name", "like_oid", "like_name", "similarity").orderBy("oid", "like_oid")


def main(
    archive: Archive,
    similarity: Annotated[float, Field(ge=SIMILAR, le=1, description="least similarity of a pair")] = SIMILAR,
) -> DataFrame:
    """Compare the files at HEAD of the archive's night."""
    signed = archive.map_contents(sign, TYPES, columns=_COLUMNS, head_only=True).dropDuplicates(["oid"])
    return pairs(signed.persist(StorageLevel.DISK_ONLY), similarity)
