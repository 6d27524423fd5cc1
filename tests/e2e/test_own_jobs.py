"""A person's own jobs: files elsewhere, parameters, packages, samples, bad contents, and their results."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.e2e.archive import Archive, night
from tests.e2e.conftest import MakeArchive
from tests.support.git import resolve
from tests.support.libraries import environment, requirements, wheel
from tests.support.repos import add_commits, build_graph
from tests.support.servers import Peer

OWN = '''
"""Counts blobs."""
from typing import Annotated
from pydantic import Field
from pyspark.sql import functions as F

READS = ["blobs"]

def main(archive, least: Annotated[int, Field(ge=0, description="bytes of the smallest blob")] = 0, label: str = ""):
    blobs = archive.table("blobs").where(F.col("size") >= least)
    return blobs.agg(F.count("*").alias("blobs")).withColumn("label", F.lit(label))
'''
LENGTHS = """
import pyarrow as pa
from lengths_of import length

def lengths(batches):
    for batch in batches:
        yield pa.RecordBatch.from_pydict({"length": [length(content) for content in batch.column(0).to_pylist()]})

def main(archive):
    return archive.map_contents(lengths, "length bigint")
"""
IN_ENVIRONMENT = """
import sys
import pyarrow as pa
from packed_lengths import length

def lengths(batches):
    for batch in batches:
        found = [length(content) for content in batch.column(0).to_pylist()]
        yield pa.RecordBatch.from_pydict({"length": found, "python": [sys.prefix] * len(found)})

def main(archive):
    return archive.map_contents(lengths, "length bigint, python string")
"""
HELPER = """
def length(content):
    if content == b"file of commit 1\\n":
        raise ValueError("it is the first")
    return len(content)
"""


@pytest.fixture(scope="module")
def archive(make_archive: MakeArchive, served: Path, daemon: Peer) -> Archive:
    for name in ("one.git", "two.git", "three.git", "four.git"):
        build_graph(served / name, [[1], [2, 1], [3, 2]])
    made = make_archive("own", nightly={"jobs": []})
    made.add(*(daemon.url(f"{name}.git") for name in ("one", "two", "three", "four")))
    made.nightly(1)
    add_commits(served / "one.git", 2, label="second")
    made.nightly(2)
    return made


OWN_MODULES = (
    "own_count", "own_lengths", "lengths_of", "own_more", "own_plain", "plain_lengths", "own_division", "own_none"
)  # fmt: skip
"""Each has one text: a Spark that runs takes no other file of a name that it has shipped."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    before, path = set(sys.modules), list(sys.path)
    (tmp_path / "own_count.py").write_text(OWN)
    (tmp_path / "own_lengths.py").write_text(LENGTHS)
    (tmp_path / "lengths_of.py").write_text(HELPER)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name in OWN_MODULES:
            del sys.modules[name]


@pytest.mark.slow
def test_parameters_are_options_and_are_checked_before_spark(archive: Archive, own: Path) -> None:
    job = own / "own_count.py"
    told = " ".join(archive.run("submit", job, "--help").stdout.split())
    assert "Parameters of own_count: --least INT bytes of the smallest blob; default: 0" in told
    assert f"ARGV]... {' '.join(OWN.split(chr(34) * 3)[1].split())} Parameters" in told
    all_ = archive.sql("SELECT count(*) AS n FROM blobs")[0]["n"]
    (row,) = archive.ask("submit", job, "--label", "x")
    assert (row["blobs"], row["label"]) == (all_, "x")
    (row,) = archive.ask("submit", job, "--set", "least=100000", "--set", "label=y")
    assert (row["blobs"], row["label"]) == (0, "y")
    recorded = json.loads(archive.storage.read(f"results/own_count/{night(2)}.json"))
    assert recorded["arguments"] == ["--least=100000", "--label=y"]
    assert recorded["snapshots"].keys() == {"blobs"}
    for words, says in (
        (("--least", "-1"), "--least: Input should be greater than or equal to 0"),
        (("--lest", "1"), "No such option"),
        (("--set", "lest=1"), "there is no parameter --lest; it takes --least INT, --label STR"),
        (("--", "surplus"), "there is no parameter surplus"),
    ):
        assert says in archive.run("submit", job, *words, code=2).stderr


def test_a_job_that_reads_more_than_it_says_is_refused(archive: Archive, own: Path) -> None:
    (own / "own_more.py").write_text(OWN.replace('READS = ["blobs"]', 'READS = ["commits"]'))
    said = archive.run("submit", own / "own_more.py", code=2)
    assert "it reads blobs, which its READS does not name" in said.stderr


def test_a_repeated_run_with_the_same_inputs_says_so(archive: Archive, own: Path) -> None:
    job = own / "own_count.py"
    again = "own_count on 2026-11-01 has a result of the same version, arguments and inputs"
    assert again not in archive.run("submit", job, "--night", str(night(1))).stderr
    assert again in archive.run("submit", job, "--night", str(night(1))).stderr
    assert again not in archive.run("submit", job, "--night", str(night(1)), "--least", "1").stderr


def test_a_sample_is_of_whole_networks_and_has_a_result_of_its_own(archive: Archive, own: Path) -> None:
    networks = sorted(row["network"] for row in archive.sql("SELECT DISTINCT network FROM blobs"))
    below = (networks[0] + networks[1]) // 2
    job = own / "own_count.py"
    share = str(below / 2**63)
    (row,) = archive.ask("submit", job, "--sample", share)
    inside = f"SELECT count(*) AS n FROM blobs WHERE network < {below}"
    assert row["blobs"] == archive.sql(inside)[0]["n"]
    recorded = json.loads(archive.storage.read(f"results/own_count_sample/{night(2)}.json"))
    assert recorded["arguments"][0].startswith("--sample=0.")
    (own / "plain_lengths.py").write_text("length = len\n")
    (own / "own_plain.py").write_text(LENGTHS.replace("lengths_of", "plain_lengths"))
    found = archive.ask("submit", own / "own_plain.py", "--py-files", own / "plain_lengths.py", "--sample", share)
    assert len(found) == archive.sql(inside.replace("blobs", "contents"))[0]["n"]


def test_a_bad_content_is_named_or_skipped_and_counted(archive: Archive, own: Path, served: Path) -> None:
    words: list[str | Path] = ["submit", own / "own_lengths.py", "--py-files", own / "lengths_of.py"]
    bad = resolve(served / "one.git", "main:1.txt")
    named = re.compile(
        rf"\.git, 1\.txt, content {bad}: ValueError: it is the first at \S+/lengths_of\.py, line 4, in length"
    )
    said = archive.run(*words, code=2)
    assert "job own_lengths failed at git://" in said.stderr
    assert named.search(said.stderr)
    assert "Traceback" not in said.stderr
    (found,) = archive.sql(f"SELECT count(*) AS n, count_if(oid = X'{bad}') AS bad FROM contents")
    assert found["bad"] == 4  # one in each network
    said = archive.run(*words, "--skip-bad", "--output", "json")
    assert len(said.json) == found["n"] - found["bad"]
    assert "4 contents were skipped, such as git://" in said.stderr
    assert named.search(said.stderr)


@pytest.mark.slow
def test_packages_of_a_requirements_file_are_there_on_executors(archive: Archive, own: Path) -> None:
    job = own / "own_wheel.py"
    job.write_text(LENGTHS.replace("lengths_of", "wheel_lengths"))
    wheel(own / "wheels", "wheel_lengths", "1.0", "length = len\n")
    asked = requirements(own / "r.txt", own / "wheels", "wheel_lengths")
    found = archive.program("submit", job, "--requirements", asked, "--output", "json").json
    (sizes,) = archive.sql("SELECT count(*) AS n, sum(length(content)) AS bytes FROM contents")
    assert (len(found), sum(row["length"] for row in found)) == (sizes["n"], sizes["bytes"])
    recorded = json.loads(archive.storage.read(f"results/own_wheel/{night(2)}.json"))
    assert re.fullmatch(r"--requirements=[0-9a-f]{64}", *recorded["arguments"])


def test_requirements_that_cannot_be_had_name_their_line(archive: Archive, own: Path) -> None:
    asked = requirements(own / "r.txt", own, "numpy", "no_such_package>=2")
    said = archive.run("submit", own / "own_count.py", "--requirements", asked, "--least", "1", code=2).stderr
    assert "r.txt, line 4: Could not find a version that satisfies the requirement no_such_package>=2" in said
    both = ("--requirements", asked, "--environment", asked)
    assert "give --requirements or --environment" in archive.run("submit", "language_census", *both, code=2).stderr


@pytest.mark.slow
def test_an_environment_runs_the_function_of_a_job(archive: Archive, own: Path) -> None:
    job = own / "own_python.py"
    job.write_text(IN_ENVIRONMENT)
    packed = environment(own, "packed_lengths", "length = len\n")
    found = archive.program("submit", job, "--environment", packed, "--output", "json").json
    (sizes,) = archive.sql("SELECT count(*) AS n, sum(length(content)) AS bytes FROM contents")
    assert (len(found), sum(row["length"] for row in found)) == (sizes["n"], sizes["bytes"])
    assert {Path(row["python"]).name.partition("-")[0] for row in found} == {"environment"}


def test_what_spark_finds_wrong_with_a_job_names_its_line(archive: Archive, own: Path) -> None:
    (own / "own_division.py").write_text(
        "def main(archive):\n    return archive.spark.range(3).selectExpr('id', '1 / (id - 2) AS n')\n"
    )
    said = archive.run("submit", own / "own_division.py", code=2)
    assert "job own_division failed at" in said.stderr
    assert "DIVIDE_BY_ZERO" in said.stderr
    assert "\tat " not in said.stderr
    (own / "own_none.py").write_text("def main(archive):\n    archive.table('commits')\n")
    said = archive.run("submit", own / "own_none.py", code=2)
    assert "'own_none' cannot be stored: main() returned nothing" in said.stderr


def test_results_are_listed_shown_compared_and_exported(archive: Archive, own: Path, tmp_path: Path) -> None:
    job = own / "own_count.py"
    for day in (1, 2):
        archive.ask("submit", job, "--night", str(night(day)), "--label", 'a,"b"')
    stored = {
        day: archive.sql(f"SELECT * FROM archive.results.own_count WHERE night = DATE '{night(day)}'") for day in (1, 2)
    }
    listed = {(row["job"], row["night"]): row for row in archive.ask("results", "list")}
    assert listed["own_count", str(night(1))]["rows"] == 1
    assert listed["own_count", str(night(2))]["arguments"] == ['--label=a,"b"']
    shown = archive.ask("results", "show", "own_count")
    assert shown == [{key: value for key, value in row.items() if key != "night"} for row in stored[2]]
    said = archive.run("results", "diff", "own_count", "--from", str(night(2)), code=2).stderr
    assert "2026-11-02 is the newest night that own_count has a result for" in said
    assert archive.ask("results", "diff", "own_count", "--from", str(night(2)), "--to", str(night(2))) == {
        "only_first": [],
        "only_second": [],
        "common": 1,
    }
    found = archive.ask("results", "diff", "own_count", "--from", str(night(1)), "--to", str(night(2)), code=1)
    assert [len(found[key]) for key in ("only_first", "only_second")] == [1, 1]
    told = archive.run("results", "diff", "own_count", "--from", str(night(1)), code=1).stdout
    assert "1 rows only on 2026-11-01, 1 only on 2026-11-02, 0 on both" in told
    for name in ("r.csv", "r.json", "r.parquet"):
        archive.run("results", "export", "own_count", "--out", tmp_path / name)
    with (tmp_path / "r.csv").open() as file:
        assert [row["label"] for row in csv.DictReader(file)] == ['a,"b"']
    assert json.loads((tmp_path / "r.json").read_text()) == shown == pq.read_table(tmp_path / "r.parquet").to_pylist()
    assert "nothing has no result" in archive.run("results", "show", "nothing", code=2).stderr
    assert "it has some for" in archive.run("results", "show", "own_count", "--night", "2026-10-01", code=2).stderr


@pytest.mark.parametrize(
    "query",
    [
        "SELECT CAST('x' AS INT) FROM commits",
        "SELECT 1 / (id - id) FROM range(3)",
        "SELECT date_format(author_time, 'bbbb {') FROM commits",
        "SELECT regexp_extract(author_name, '(', 1) FROM commits",
        "SELECT from_utc_timestamp(author_time, 'Nowhere/At all') FROM commits",
        "SELECT " + "+".join(["1"] * 20_000),
    ],
    ids=lambda query: query[:30],
)
@pytest.mark.parametrize("format_", ["text", "json"])
def test_a_query_s_own_fault_is_2(archive: Archive, query: str, format_: str) -> None:
    said = archive.run("sql", query, "--output", format_, code=2)
    assert "Traceback" not in said.stderr
    assert "\tat " not in said.stderr
