"""Write shards: runs in Spark's Python workers, which open the data files themselves (decision 11)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.read.export.columns import CHOSEN, ROWS
from pipeline.read.export.contents import ENCODING, fault, read_contents
from pipeline.read.export.destination import still_ours
from pipeline.read.export.manifest import Counts, Plan, Shard
from pipeline.read.export.shard_file import shard_file
from pipeline.rules.cluster import MIB
from pipeline.storage.errors import AlreadyThere
from pipeline.storage.interface import Storage, Uploaded


@dataclass(frozen=True, slots=True)
class ShardWriter:
    """Writes the shard whose rows it gets, sorted by place; for ``mapInArrow``.

    Its memory is bounded by a shard's rows without contents, a row group of a data file, and one of the shard.

    Attributes:
        source: the archive's storage.
        to: the export's.
    """

    source: Storage
    to: Storage
    plan: Plan

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The record of the shard, as JSON in the column ``record``; nothing for no rows.

        Raises:
            StoredFileDamaged: a data file is damaged or gone.
            StorageError: something cannot be read or written.
            Replaced: the folder holds another export by now.
        """
        given = [batch for batch in batches if len(batch)]
        if not given:
            return
        rows = pa.Table.from_batches(given)
        shard = self._written(rows["shard"][0].as_py(), rows)
        text = shard.model_dump_json()
        still_ours(self.to, self.plan)
        self.to.replace(shard.record, text.encode())
        yield pa.record_batch({"record": [text]})

    def _written(self, number: int, rows: pa.Table) -> Shard:
        kept, size, left_out = Counter[str](), Counter[str](), Counter[str]()
        with TemporaryDirectory(prefix="export-") as folder:
            local = Path(folder) / "shard"
            with shard_file(local, self.plan.selection.format) as write:
                for chosen, contents in read_contents(self.source, rows):
                    whole, why = _with_text(chosen, contents)
                    write(whole)
                    left_out.update(why)
                    for language, length in zip(*(whole[n].to_pylist() for n in _COUNTED), strict=True):
                        kept[language] += 1
                        size[language] += length
            sent = self._sent(local, self.plan.path(number))
        languages = {name: Counts(rows=kept[name], content_bytes=size[name]) for name in sorted(kept)}
        return Shard(
            number=number,
            path=sent.path,
            size_bytes=sent.size_bytes,
            sha256=sent.sha256,
            languages=languages,
            left_out=dict(sorted(left_out.items())),
        )

    def _sent(self, local: Path, path: str) -> Uploaded:
        """Send a shard. One without a record, of an attempt that died or that runs beside this one, is replaced unless
        it has the same bytes.
        """
        still_ours(self.to, self.plan)
        try:
            return self.to.upload(local, path)
        except AlreadyThere:
            with local.open("rb") as mine, self.to.open(path) as stored:
                sha256 = _sha256(mine)
                if _sha256(stored) == sha256:
                    return Uploaded(path, local.stat().st_size, sha256)
            still_ours(self.to, self.plan)
            self.to.delete(path)
            return self.to.upload(local, path)


_COUNTED = ("language", "length_bytes")


def _sha256(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    for chunk in iter(lambda: stream.read(MIB), b""):
        digest.update(chunk)
    return digest.hexdigest()


def _with_text(rows: pa.Table, contents: pa.Array) -> tuple[pa.Table, list[str]]:
    """The rows of a shard, without those that are no text, and why these are left out."""
    values = contents.to_pylist()
    faults = [fault(value) for value in values]
    good = pa.array([why is None for why in faults])
    ids = [hashlib.sha1(value, usedforsecurity=False).hexdigest() for value in values]
    columns = {name: rows[name].cast(CHOSEN.field(name).type) for name in CHOSEN.names}
    columns["blob_id"] = pa.array(ids)
    columns["src_encoding"] = pa.array([ENCODING] * len(rows))
    columns = {name: column.filter(good) for name, column in columns.items()}
    columns["content"] = pc.cast(contents.filter(good), pa.string())
    return pa.table([columns[name] for name in ROWS.names], schema=ROWS), [why for why in faults if why]
