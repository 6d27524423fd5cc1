"""A night of one network whose many forks are unchanged, behind a server that answers late."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import sha1
from ipaddress import IPv4Network
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.archive import night
from benchmarks.bench import Bench, say
from benchmarks.measure import measured
from benchmarks.results import Figure, Found, Table
from benchmarks.slow_server import HEAD, MAIN, late_server
from pipeline.context.config import Config, FetchSection
from pipeline.fetch.bucket import fetch_bucket
from pipeline.model.layout import Load
from pipeline.model.origin import network_id
from pipeline.storage.local import LocalStorage
from pipeline.storage.preparation import prepare_process

ANSWER_S = 0.1
CONVERSATIONS = 16
REFS = 20
BUCKET = 0


@dataclass(frozen=True)
class Network:
    """A root and forks that have been visited before, in an archive of one bucket."""

    folder: Path
    urls: tuple[str, ...]
    refs: dict[bytes, bytes]

    def plan(self) -> None:
        """Write the plan of a night in which all are due, as Spark would, without the archive behind it."""
        load, root = Load.of_night(night(0)), self.urls[0]
        network = network_id(root)
        origins = [
            {
                "url": url,
                "fork_of": None if url == root else root,
                "network": network,
                "due": True,
                "first_visit": False,
            }
            for url in self.urls
        ]
        refs = [
            {"network": network, "url": url, "name": name, "target": oid, "peeled": None,
             "symref": MAIN if name == HEAD else None}
            for url in sorted(self.urls)
            for name, oid in sorted(self.refs.items())
        ]  # fmt: skip
        binary = {name: pa.binary() for name in ("name", "target", "peeled", "symref")}
        self._write(load.plan_origins, pa.Table.from_pylist(origins))
        schema = pa.schema({"network": pa.int64(), "url": pa.string(), **binary})
        self._write(load.plan_refs, pa.Table.from_pylist(refs, schema))

    def _write(self, folder: str, table: pa.Table) -> None:
        path = self.folder / "archive" / folder / f"bucket={BUCKET}" / "part-0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(table, path)

    def fetch(self) -> Counter[str]:
        """Run the fetch task; how many visits ended with each status."""
        prepare_process()
        settings = FetchSection(allowed_networks=(IPv4Network("127.0.0.0/8"),), concurrency=CONVERSATIONS)
        manifest = fetch_bucket(
            LocalStorage(self.folder / "archive"),
            Load.of_night(night(0)),
            BUCKET,
            run_id="bench",
            conditions=Config(fetch=settings).conditions,
            concurrency=settings.concurrency,
            scratch=self.folder / "scratch",
        )
        return Counter(manifest.visits.origins)


def measure(bench: Bench) -> Found:
    """Measure it once: the time is mostly the server's."""
    forks = bench.sizes.forks
    say("forks: %d unchanged forks", forks)
    names = (MAIN, *(b"refs/heads/%d" % number for number in range(REFS - 2)))
    refs = {name: sha1(name, usedforsecurity=False).digest() for name in names}
    refs[HEAD] = refs[MAIN]
    with late_server(refs, ANSWER_S) as server:
        network = Network(bench.work / "forks", tuple(f"{server}/{number}" for number in range(forks)), refs)
        network.plan()
        statuses, cost = measured(network.fetch)
    assert statuses == {"unchanged": forks}, f"not all are unchanged: {statuses}"
    of = f"{forks:,} forks"
    figure = Figure("forks", of, cost.wall_s, f"{1000 * cost.cpu_s / forks:.2f} CPU-ms each")
    columns = ("unchanged forks", "refs each", "conversations", "answer after s", "s", "CPU-s")
    return Found(
        (figure,), (Table("Forks", columns, ((forks, REFS, CONVERSATIONS, ANSWER_S, cost.wall_s, cost.cpu_s),)),)
    )
