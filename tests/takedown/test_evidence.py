"""What finished loads leave behind, some of it damaged: a takedown takes out what it can read and what nobody can."""

from __future__ import annotations

import json
from datetime import date
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.fsck.ledger import add_recording
from pipeline.fsck.record import Wanted, recorded
from pipeline.model.layout import Load
from pipeline.model.tables import REFS
from pipeline.storage import Storage
from pipeline.storage.local import LocalStorage
from pipeline.takedown.doomed import Doomed
from pipeline.takedown.runs import scrub_runs

URL, OTHER = "https://host/a", "https://host/b"
LOAD = Load.of_night(date(2026, 11, 2))
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
    copied, uncopied, unnamed = LOAD.manifest(1), LOAD.manifest(2), LOAD.manifest(3)
    storage.create(copied, visits_of(URL, OTHER))
    add_recording(storage, recorded(storage, [Wanted(copied, keep_copy=True)]))
    storage.replace(copied, visits_of(URL, OTHER).replace(b"https", b"httpq")[:-1])
    storage.create(uncopied, visits_of(URL)[:-1])
    storage.create(unnamed, visits_of(OTHER)[:-1])
    storage.create(LOAD.batch_list, b"\xff\xfe\n" + f"{URL}\n{OTHER}\n".encode())
    assert scrub(storage) == {"manifests/1.json", "manifests/2.json", "plan/origins.txt"}
    assert json.loads(storage.read(copied)) == {"visits": [{"origin": OTHER}]}
    assert storage.stat(uncopied) is None
    assert storage.read(unnamed) == visits_of(OTHER)[:-1]
    assert storage.read(LOAD.batch_list) == b"\xff\xfe\n" + f"{OTHER}\n".encode()
