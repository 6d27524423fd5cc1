"""Leftovers of finished loads, some damaged: a takedown removes doomed rows, and files that nobody can read."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.maintain.takedown.doomed import Doomed
from pipeline.maintain.takedown.runs import scrub_runs
from pipeline.maintain.takedown.verify import Wanted as Looked
from pipeline.maintain.takedown.verify import verify
from pipeline.model.layout import Load
from pipeline.model.tables import REFS
from pipeline.model.tombstone import ORIGIN, Tombstone
from pipeline.read.inventory.ledger import add_recording, copies
from pipeline.read.inventory.record import Wanted, record_takedown, recorded
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage

URL, OTHER = "https://host/a", "https://host/b"
LOAD = Load.of_night(date(2026, 11, 2))
STONE = Tombstone("t", ORIGIN, datetime(2026, 11, 3, tzinfo=UTC), bucket=1, network=1, url=URL)
SPARK = cast(SparkSession, None)
DOOMED = Doomed(urls={1: frozenset({URL})}, buckets=frozenset({1}))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A finished load."""
    storage = LocalStorage(tmp_path / "archive")
    storage.create(LOAD.finished, b"{}")
    return storage


def refs(network: int, origin: str) -> bytes:
    sink = BytesIO()
    rows = [{"bucket": 1, "network": network, "origin": origin, "name": "HEAD"}]
    pq.write_table(pa.Table.from_pylist(rows, REFS.arrow_schema), sink)
    return sink.getvalue()


def visits_of(*origins: str) -> bytes:
    return json.dumps({"visits": [{"origin": origin} for origin in origins]}).encode()


def scrub(storage: Storage) -> set[str]:
    return {path.removeprefix(f"{LOAD.root}/") for path in scrub_runs(storage, DOOMED, lambda: None)}


def test_evidence_that_cannot_be_read_goes(storage: Storage) -> None:
    whole, other_columns = refs(1, URL), BytesIO()
    pq.write_table(pa.table({"network": ["x"]}), other_columns)
    evidence = {
        "bucket=1/holds/refs.parquet": whole,
        "bucket=1/clean/refs.parquet": refs(2, URL),
        "bucket=1/cut/refs.parquet": whole[:-9],
        "bucket=1/zeroes/refs.parquet": whole[:8] + bytes(len(whole) - 300) + whole[-292:],
        "bucket=1/other/refs.parquet": other_columns.getvalue(),
        "bucket=1/unknown/refs.parquet.part": whole,
        "bucket=1/manifest-damaged.json": visits_of(URL)[:-1],
        "bucket=1/manifest-whole.json": visits_of(URL, OTHER),
        "bucket=2/cut/refs.parquet": whole[:-9],
    }
    for path, data in evidence.items():
        storage.create(f"{LOAD.quarantine}/{path}", data)
    gone = {"holds", "cut", "zeroes", "other", "unknown", "manifest-damaged.json"}
    assert scrub(storage) == {f"quarantine/bucket=1/{name}" for name in (*gone, "manifest-whole.json")}
    left = {entry.path.removeprefix(f"{LOAD.quarantine}/") for entry in storage.walk(LOAD.quarantine)}
    assert left == {"bucket=1/clean/refs.parquet", "bucket=1/manifest-whole.json", "bucket=2/cut/refs.parquet"}
    assert json.loads(storage.read(f"{LOAD.quarantine}/bucket=1/manifest-whole.json")) == {
        "visits": [{"origin": OTHER}]
    }
    assert scrub(storage) == set()


def test_a_damaged_record_is_scrubbed_as_its_copy_says_or_goes(storage: Storage) -> None:
    copied, uncopied, unnamed, lost = (LOAD.manifest(bucket) for bucket in range(1, 5))
    for path in (copied, lost):
        storage.create(path, visits_of(URL, OTHER))
    add_recording(storage, recorded(storage, [Wanted(path, keep_copy=True) for path in (copied, lost)]))
    storage.replace(copied, visits_of(URL, OTHER).replace(b"https", b"httpq"))
    storage.delete(lost)
    report, clean = "fsck/reports/1.json", "fsck/reports/2.json"
    storage.create(report, json.dumps({"repaired": [f"asked {URL} again"]}).encode())
    storage.create(clean, b"{}")
    storage.create(uncopied, visits_of(URL)[:-1])
    storage.create(unnamed, visits_of(OTHER)[:-1])
    storage.create(LOAD.batch_list, b"\xff\xfe\n" + f"{URL}\n{OTHER}\n".encode())
    assert scrub(storage) == {"manifests/1.json", "manifests/2.json", "manifests/4.json", "plan/origins.txt", report}
    for path in (copied, lost):
        assert json.loads(storage.read(path)) == {"visits": [{"origin": OTHER}]}
    assert [entry.path for entry in storage.walk("fsck")] == [clean]
    assert storage.stat(uncopied) is None
    assert storage.read(unnamed) == visits_of(OTHER)[:-1]
    assert storage.read(LOAD.batch_list) == b"\xff\xfe\n" + f"{OTHER}\n".encode()


def test_a_kill_before_the_copies_go_leaves_none(storage: Storage) -> None:
    manifest, plan, other = LOAD.manifest(1), f"{LOAD.plan_origins}/bucket=1/x.parquet", LOAD.manifest(2)
    for path, data in ((manifest, visits_of(URL)), (plan, b"x"), (other, visits_of(OTHER))):
        storage.create(path, data)
    add_recording(storage, recorded(storage, [Wanted(path, keep_copy=True) for path in (manifest, plan, other)]))
    scrub(storage)  # then killed
    record_takedown(storage, scrub_runs(storage, DOOMED, lambda: None), DOOMED.buckets)
    found = copies(storage, [manifest, plan, other])
    assert found == {manifest: storage.read(manifest), other: visits_of(OTHER)}
    assert json.loads(found[manifest]) == {"visits": []}


@pytest.mark.parametrize("shown", [f"<td>{URL}</td>", "<td>https://ho&#115;t/a</td>"])
def test_a_report_that_shows_it_goes_and_so_does_its_copy(storage: Storage, shown: str) -> None:
    other = Load.of_night(date(2026, 11, 1))
    for load, url, page in ((LOAD, URL, shown), (other, OTHER, f"<td>{OTHER}</td>")):
        storage.replace(load.night_summary, json.dumps({"slowest": [{"origin": url}]}).encode())
        storage.create(load.report, page.encode())
        paths = (load.report, load.night_summary)
        add_recording(storage, recorded(storage, [Wanted(path, keep_copy=True) for path in paths]))
    assert scrub(storage) == {"report.html", "night.json"}  # then killed, and run again
    record_takedown(storage, scrub_runs(storage, DOOMED, lambda: None), DOOMED.buckets)
    assert [load.name for load in (LOAD, other) if storage.stat(load.report) is not None] == [other.name]
    assert not any(URL.encode() in copy for copy in copies(storage, [LOAD.report, LOAD.night_summary]).values())
    assert json.loads(storage.read(LOAD.night_summary)) == {"slowest": []}


def test_a_search_opens_copies_and_names_what_it_cannot_read(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.maintain.takedown.verify._referred", lambda spark, storage: {})
    visits, manifest = "tables/code/refs/data/bucket=1/x.parquet", "tables/code/refs/metadata/m.avro"
    whole = {visits: refs(1, URL), LOAD.manifest(1): visits_of(URL), manifest: avro(URL)}
    clean = {LOAD.manifest(2): visits_of(OTHER), "tables/code/refs/metadata/o.avro": avro(OTHER)}
    refusing = {"tables/code/opt_outs/data/y.parquet": refs(1, URL), LOAD.plan_kept_out: f'["h", "{URL}"]'.encode()}
    for path, data in (whole | clean | refusing).items():
        storage.create(path, data)
    paths = [*whole, *clean, *refusing]
    recording = add_recording(storage, recorded(storage, [Wanted(path, keep_copy=True) for path in paths]))
    assert recording is not None
    unreadable = {"checksums/20261102T000000000000-x.parquet", f"{LOAD.quarantine}/bucket=1/run/refs.parquet"}
    unreadable |= {"tables/code/refs/metadata/d.avro", "runs/.x.json.tmp"}
    for path in unreadable:
        storage.create(path, b"damaged")
    held = {holds.path: holds for holds in verify(SPARK, storage, Looked.of([STONE])).holds}
    assert held.keys() == {*whole, recording, *unreadable}
    assert {path for path, holds in held.items() if holds.what.startswith("it cannot be read")} == unreadable
    assert all(f"the copy of {path}: " in held[recording].what for path in whole)
    for path in [*whole, *unreadable]:
        storage.delete(path)
    (left,) = verify(SPARK, storage, Looked.of([STONE])).holds
    assert (left.path, left.rows) == (recording, 1)


def avro(text: str) -> bytes:
    """A file of one string, as Iceberg compresses it."""
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    block = deflate.compress(bytes([2 * len(text)]) + text.encode()) + deflate.flush()
    header = {"avro.schema": b'"string"', "avro.codec": b"deflate"}
    fields = b"".join(bytes([2 * len(part)]) + part for item in header.items() for part in (item[0].encode(), item[1]))
    sync = bytes(16)
    return b"Obj\x01\x04" + fields + b"\0" + sync + bytes([2, 2 * len(block)]) + block + sync
