"""Walks the trees at HEAD of networks in Spark's Python workers, and yields rows during the walk, few at a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa

from pipeline.model.tables import FILES, extension
from pipeline.model.text import text_and_raw, text_of
from pipeline.rules.walk import MISSING, MOST_PATH_BYTES, MOST_PATHS, Budget, Entry, walk

NETWORK_PATHS = 10 * MOST_PATHS
NETWORK_PATH_BYTES = 10 * MOST_PATH_BYTES
"""Limits for all origins of one network whose HEAD moved in one load, so that forks do not multiply those of a tree."""

NETWORK_MISSING = 200_000
"""Distinct missing trees reported per network; the others get another turn."""

WALKED, CUT = "walked", "cut"
"""Kinds of rows, besides ``MISSING``, that are no files: an origin was walked completely, or up to the limits."""

HELD_BYTES = 256 << 20
CHUNK_ROWS = 8192
CHUNK_BYTES = 4 << 20

Roots = Mapping[int, Sequence[tuple[bytes, Sequence[str]]]]
"""By network: root trees at HEAD, each with the origins that have it."""

_PATHS = pa.schema(
    [FILES.arrow_schema.field(name) for name in ("path", "path_raw", "name", "ext", "mode", "kind", "oid")]
)


def walker(
    roots: Roots, most_paths: int, most_bytes: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for ``applyInArrow`` over trees grouped by network: bucket, network, oid, content.

    It yields the rows of ``files`` of the origins, one ``WALKED`` or ``CUT`` row per origin, and one ``MISSING`` row
    per missing tree.

    Args:
        most_paths, most_bytes: as for ``walk_network``.
    """

    def walk_networks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        bucket = network = 0
        with Bodies() as trees:
            for batch in batches:
                if batch.num_rows:
                    bucket, network = batch["bucket"][0].as_py(), batch["network"][0].as_py()
                for oid, body in zip(batch["oid"], batch["content"], strict=True):
                    trees.add(oid.as_py(), body.as_py())
            yield from walk_network(bucket, network, trees, roots.get(network, ()), most_paths, most_bytes)

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


def walk_network(
    bucket: int,
    network: int,
    trees: Mapping[bytes, bytes],
    roots: Sequence[tuple[bytes, Sequence[str]]],
    most_paths: int,
    most_bytes: int,
) -> Iterator[pa.RecordBatch]:
    """Rows of one network; origins with the same tree share its walk. Holds ``CHUNK_ROWS`` rows at a time.

    Args:
        most_paths: limit for all origins together, directories included.
        most_bytes: limit for the bytes of these paths.
    """
    missing: set[bytes] = set()
    for root, origins in roots:
        share = Budget(
            min(MOST_PATHS, most_paths // len(origins)),
            min(MOST_PATH_BYTES, most_bytes // len(origins)),
        )
        left = Budget(share.paths, share.size_bytes)
        for chunk in _chunks(walk(root, trees, left), missing):
            for origin in origins:
                yield _rows(bucket, network, origin, chunk)
        most_paths -= (share.paths - left.paths) * len(origins)
        most_bytes -= (share.size_bytes - left.size_bytes) * len(origins)
        end = _table([Entry(b"", 0, CUT if left.spent else WALKED, root)])
        for origin in origins:
            yield _rows(bucket, network, origin, end)


def _chunks(entries: Iterator[Entry], missing: set[bytes]) -> Iterator[pa.RecordBatch]:
    chunk: list[Entry] = []
    size_bytes = 0
    for entry in entries:
        if entry.kind == MISSING:
            if entry.oid in missing or len(missing) >= NETWORK_MISSING:
                continue
            missing.add(entry.oid)
        chunk.append(entry)
        size_bytes += len(entry.path)
        if len(chunk) >= CHUNK_ROWS or size_bytes >= CHUNK_BYTES:
            yield _table(chunk)
            chunk, size_bytes = [], 0
    if chunk:
        yield _table(chunk)


def _table(entries: Sequence[Entry]) -> pa.RecordBatch:
    columns = zip(*map(_cells, entries), strict=True)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, _PATHS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_PATHS)


def _cells(entry: Entry) -> tuple[str, bytes | None, str, str, int, str, bytes]:
    path, raw = text_and_raw(entry.path)
    name = text_of(entry.name)
    return path, raw, name, extension(name), entry.mode & 0x7FFFFFFF, entry.kind, entry.oid


def _rows(bucket: int, network: int, origin: str, paths: pa.RecordBatch) -> pa.RecordBatch:
    places = ((bucket, pa.int32()), (network, pa.int64()), (origin, pa.string()))
    constants = [pa.repeat(pa.scalar(value, type_), paths.num_rows) for value, type_ in places]
    return pa.RecordBatch.from_arrays([*constants, *paths.columns], schema=FILES.arrow_schema)
