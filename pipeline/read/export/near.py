"""Leave near-duplicates out of an export: of texts that are nearly the same, over all networks, one stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.read.export.choose import PREFERENCE
from pipeline.read.export.contents import fault, read_contents
from pipeline.read.minhash import SIMILAR, bands, signature_of
from pipeline.read.near_duplicates import SIGNED, similar_pairs
from pipeline.rules.cluster import MIB
from pipeline.storage.interface import Storage

TASK_BYTES = 32 * MIB
"""Raw bytes of contents that a task signs, in some seconds."""

MOST_TASKS = 100_000
"""Of one shuffle: the driver keeps a record per task, and each mapper an offset."""

_PLACE = ("uri", "position")
_ARROW = pa.schema([(PREFERENCE, pa.binary()), ("places", pa.list_(pa.int32())), ("bands", pa.list_(pa.int64()))])


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs the contents at the places that it gets, sorted; for ``mapInArrow``.

    Contents that are no text, or are not compared, have no signature.
    """

    source: Storage

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Preference and signature of each text.

        Raises:
            StoredFileDamaged: a data file is damaged or gone.
        """
        given = [batch for batch in batches if len(batch)]
        if not given:
            return
        for rows, contents in read_contents(self.source, pa.Table.from_batches(given)):
            signed = []
            for key, content in zip(rows[PREFERENCE].to_pylist(), contents.to_pylist(), strict=True):
                places = None if fault(content) else signature_of(content)
                if places is not None:
                    signed.append({PREFERENCE: key, "places": places, "bands": bands(places)})
            yield pa.RecordBatch.from_pylist(signed, _ARROW)


def signatures(chosen: DataFrame, source: Storage) -> DataFrame:
    """The signatures of chosen files: ``PREFERENCE`` and the columns ``SIGNED``.

    Args:
        chosen: what ``choose_files`` returns, kept where it need not be computed three times.
    """
    raw_bytes = chosen.agg(F.sum("length_bytes")).collect()[0][0] or 0
    places = chosen.select(*_PLACE, "content_id", PREFERENCE)
    tasks = places.repartitionByRange(task_count(raw_bytes), *_PLACE).sortWithinPartitions(*_PLACE)
    return tasks.mapInArrow(Signer(source).__call__, f"{PREFERENCE} binary, {SIGNED}")


def task_count(raw_bytes: int) -> int:
    """In how many tasks so many bytes of contents are signed."""
    return min(raw_bytes // TASK_BYTES + 1, MOST_TASKS)


def near_duplicates(signed: DataFrame) -> DataFrame:
    """Those that are nearly the same as one that is preferred to them, itself left out or not: so no two files stay
    that were found to be alike.

    Args:
        signed: what ``signatures`` returns, kept where it need not be computed three times.

    Returns:
        The column ``PREFERENCE``, each once.
    """
    return similar_pairs(signed, PREFERENCE, SIMILAR).select(PREFERENCE).distinct()
