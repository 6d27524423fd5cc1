"""A bucket whose fetch tasks are real, but which is planned and published without Spark: a night takes a second."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.archive import Bed, fetch, night
from pipeline.model.layout import Load
from pipeline.model.manifest import Manifest
from pipeline.model.origin import network_id
from pipeline.model.tables import BY_NAME, OBJECT_TABLES
from pipeline.model.visit import VisitStatus
from pipeline.storage.parquet import open_parquet_file
from scaling.made import FIRST, refs_at
from scaling.population import Population
from scaling.server import MadeUpServer
from scaling.steps import NotAsMade

_BUCKET = 0
_ORIGINS = pa.schema(
    [("url", pa.string()), ("fork_of", pa.string()), ("network", pa.int64())]
    + [(name, pa.bool_()) for name in ("due", "first_visit")]
)
_REFS = pa.schema(
    [("network", pa.int64()), ("url", pa.string())]
    + [(name, pa.binary()) for name in ("name", "target", "peeled", "symref")]
)
_FILES = pa.schema(
    [("table", pa.string()), ("uri", pa.string())]
    + [(name, pa.int64()) for name in ("rows", "network_min", "network_max")]
)


class Bucket:
    """Networks without forks, all in one bucket, all due every night. Nothing is maintained.

    Args:
        bed: where to make the archive.
        server: shows the population from now on.
    """

    def __init__(self, bed: Bed, server: MadeUpServer, population: Population) -> None:
        bed.write_config()
        server.show(population.shape, population.begun)
        self._bed, self._server, self._population = bed, server, population
        self._shown = [FIRST] * population.networks
        self._archived = [FIRST - 1] * population.networks
        self._files: list[dict[str, Any]] = []
        self._night = 0

    def change(self, numbers: Sequence[int]) -> None:
        """Add a commit to some networks."""
        self._server.advance(numbers)
        for number in numbers:
            self._shown[number] += 1

    def make_night(self) -> None:
        """Make a whole night: later ones know what it has found."""
        self.plan()
        self._files += map(self._planned_file, self._landed(self._fetched()))
        self._archived = list(self._shown)
        self._night += 1

    def fetch_cpu_s(self) -> float:
        """Fetch the next night without publishing it; the CPU seconds of its fetch task and the workers of that."""
        began = _cpu_s()
        self._fetched()
        return _cpu_s() - began

    def plan(self) -> None:
        """Plan the next night."""
        load, numbers = self._load, range(self._population.networks)
        self._write(load.plan_origins, _ORIGINS, map(self._planned_origin, numbers))
        refs = [row for number in numbers for row in self._planned_refs(number)]
        self._write(load.plan_refs, _REFS, sorted(refs, key=lambda row: (row["network"], row["name"] or b"")))
        self._write(load.plan_files, _FILES, self._files)

    def _fetched(self) -> Manifest:
        """What the fetch task of a planned night has found, anew each time.

        Raises:
            NotAsMade: these are not exactly the changes.
        """
        self._bed.storage.delete(self._load.manifest(_BUCKET))
        (manifest,) = fetch(self._bed, self._night, [_BUCKET])
        full = sum(shown != archived for shown, archived in zip(self._shown, self._archived, strict=True))
        wanted = Counter({VisitStatus.FULL: full, VisitStatus.UNCHANGED: len(self._shown) - full})
        if Counter(manifest.visits.origins) != wanted:
            raise NotAsMade(f"night {self._night}: {manifest.visits} instead of {wanted}")
        return manifest

    @property
    def _load(self) -> Load:
        return Load.of_night(night(self._night))

    def _write(self, folder: str, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(list(rows), schema), sink)
        self._bed.storage.replace(f"{folder}/bucket={_BUCKET}/part-0.parquet", sink.getvalue().to_pybytes())

    def _planned_origin(self, number: int) -> dict[str, Any]:
        url, first_visit = self._population.root(number), self._archived[number] < FIRST
        return {"url": url, "fork_of": None, "network": network_id(url), "due": True, "first_visit": first_visit}

    def _planned_refs(self, number: int) -> Iterator[dict[str, Any]]:
        url, version = self._population.root(number), self._archived[number]
        of_origin = {"network": network_id(url), "url": url}
        if version < FIRST:
            yield {**of_origin, "name": None}
            return
        for name, ref in refs_at(self._population.shape.version(number, version).tip).items():
            yield {**of_origin, "name": name, "target": ref.target, "symref": ref.symref}

    def _landed(self, manifest: Manifest) -> Iterator[tuple[str, str]]:
        return ((file.table, file.path) for file in manifest.files if BY_NAME[file.table] in OBJECT_TABLES)

    def _planned_file(self, landed: tuple[str, str]) -> dict[str, Any]:
        table, path = landed
        with open_parquet_file(self._bed.storage, path) as file:
            bounds = pc.min_max(file.read(["network"])["network"]).as_py()
            rows = file.metadata.num_rows
        uri = self._bed.storage.uri(path)
        return {"table": table, "uri": uri, "rows": rows, "network_min": bounds["min"], "network_max": bounds["max"]}


def _cpu_s() -> float:
    """CPU time of this process and its ended children: servers have not ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
