"""Plans the lines of networks in Spark's Python workers, from their trees at HEAD; yields rows, few at a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.model.tables import FILES, OID, extension
from pipeline.model.text import text_and_raw, text_of
from pipeline.rules.lines import Change, Done, Drop, Line, Lost, Network, NewTree, Put, Take
from pipeline.rules.walk import MOST_PATH_BYTES, MOST_PATHS, Budget

NETWORK_PATHS = 10 * MOST_PATHS
NETWORK_PATH_BYTES = 10 * MOST_PATH_BYTES
"""Limits for all origins of one network whose HEAD moved in one load: rows that are written, and entries compared."""

NETWORK_MISSING = 200_000
"""Distinct missing trees reported per network; the others get another turn."""

PUT, TAKE, DROP, LOST, DONE, CUT = "put", "take", "drop", "lost", "done", "cut"
"""What to do with a row: add it, remove the rows of its line and path, or all rows of its line. Or what it reports: a
tree that is nowhere, a root tree that has its line, or one whose line lacks what is beyond the limits."""

HELD_BYTES = 256 << 20
CHUNK_ROWS = 8192
CHUNK_BYTES = 4 << 20

CHANGES = FILES.arrow_schema.append(pa.field("op", pa.string())).append(pa.field("root", OID))


@dataclass(frozen=True, slots=True)
class Heads:
    """The lines that a network has, the trees at HEAD of origins that did not move, and those of origins that did."""

    lines: Sequence[Line]
    kept: Sequence[bytes]
    new: Sequence[NewTree]


def walker(
    heads: Mapping[int, Heads], most_paths: int, most_bytes: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for ``applyInArrow`` over trees grouped by network: bucket, network, oid, content.

    It yields ``CHANGES``. A tree without an id only makes sure that a network has a group.

    Args:
        most_paths, most_bytes: as for ``plan_lines``.
    """

    def walk_networks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        bucket = network = 0
        with Bodies() as trees:
            for batch in batches:
                if batch.num_rows:
                    bucket, network = batch["bucket"][0].as_py(), batch["network"][0].as_py()
                for oid, body in zip(batch["oid"], batch["content"], strict=True):
                    if oid.is_valid:
                        trees.add(oid.as_py(), body.as_py())
            if network in heads:
                yield from plan_lines(bucket, network, trees, heads[network], most_paths, most_bytes)

    return walk_networks


class Bodies(Mapping[bytes, bytes]):
    """Trees by id: in memory up to a limit, the others in a temporary file."""

    def __init__(self, most_bytes: int = HELD_BYTES) -> None:
        self._left = most_bytes
        self._held: dict[bytes, bytes] = {}
        self._places: dict[bytes, tuple[int, int]] = {}
        self._file = tempfile.TemporaryFile(prefix="trees-")  # noqa: SIM115 - closed by __exit__

    def add(self, oid: bytes, body: bytes) -> None:
        """Add a tree; adding it again changes nothing."""
        if oid in self:
            return
        if len(body) <= self._left:
            self._left -= len(body)
            self._held[oid] = body
        else:
            self._places[oid] = (self._file.seek(0, os.SEEK_END), len(body))
            self._file.write(body)

    def __getitem__(self, oid: bytes) -> bytes:
        if oid in self._held:
            return self._held[oid]
        at, size_bytes = self._places[oid]
        self._file.seek(at)
        return self._file.read(size_bytes)

    def __contains__(self, oid: object) -> bool:
        return oid in self._held or oid in self._places

    def __iter__(self) -> Iterator[bytes]:
        yield from self._held
        yield from self._places

    def __len__(self) -> int:
        return len(self._held) + len(self._places)

    def __enter__(self) -> Bodies:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def plan_lines(
    bucket: int, network: int, trees: Mapping[bytes, bytes], heads: Heads, most_paths: int, most_bytes: int
) -> Iterator[pa.RecordBatch]:
    """``CHANGES`` of one network. Holds ``CHUNK_ROWS`` rows, and the differences of one tree, at a time.

    Args:
        most_paths: limit for all origins together, directories included.
        most_bytes: limit for the bytes of these paths.
    """
    plan = Network(heads.lines, heads.kept, trees, Budget(most_paths, most_bytes))
    cells = map(_cells, _each_lost_once(plan.changes(heads.new)))
    yield from in_batches((((bucket, network, None, *row), len(str(row[0]))) for row in cells), CHANGES)


def in_batches(rows: Iterable[tuple[Sequence[object], int]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Rows, each with the size of its text, as batches of ``CHUNK_ROWS`` or about ``CHUNK_BYTES``."""
    held: list[Sequence[object]] = []
    size_bytes = 0
    for row, row_bytes in rows:
        held.append(row)
        size_bytes += row_bytes
        if len(held) >= CHUNK_ROWS or size_bytes >= CHUNK_BYTES:
            yield _batch(held, schema)
            held, size_bytes = [], 0
    if held:
        yield _batch(held, schema)


def _each_lost_once(changes: Iterable[Change]) -> Iterator[Change]:
    lost: set[bytes] = set()
    for change in changes:
        if isinstance(change, Lost):
            if change.oid in lost or len(lost) >= NETWORK_MISSING:
                continue
            lost.add(change.oid)
        yield change


def _cells(change: Change) -> tuple[object, ...]:
    """The columns of ``CHANGES`` after ``origin``."""
    match change:
        case Put(line, base, entry):
            path, raw = text_and_raw(entry.path)
            name = text_of(entry.name)
            mode, oid = entry.mode & 0x7FFFFFFF, entry.oid or None
            return path, raw, name, extension(name), mode, entry.kind, oid, line, base, PUT, None
        case Take(line, gone):
            path, raw = text_and_raw(gone)
            return path, raw, None, None, None, None, None, line, None, TAKE, None
        case Drop(line):
            return None, None, None, None, None, None, None, line, None, DROP, None
        case Lost(root, at, oid):
            return text_of(at), None, None, None, None, None, oid, None, None, LOST, root
        case Done(root, cut):
            return None, None, None, None, None, None, None, None, None, CUT if cut else DONE, root


def _batch(rows: Sequence[Sequence[object]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
