"""Every command of the README's table, as text and as JSON, on one small archive."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import jobs
from pipeline import __version__
from pipeline.model.tables import ALL, shown_columns
from pipeline.tables.writer import unleased
from tests.e2e.archive import Archive, Place, Said, night
from tests.e2e.conftest import MakeArchive
from tests.support.git import git, put, put_commit, put_tree, resolve, set_refs
from tests.support.repos import fork_of, init
from tests.support.servers import Peer

PYTHON = b"import os\n\n\ndef main():\n    print(os.name)\n"
C = b"int main(void)\n{\n    return 0;\n}\n"
TEXT = "caf\u00e9 \u65e5\u672c\n"


@dataclass(frozen=True)
class Small:
    """One night of a repository, its fork, one with a blob over the limit, a missing one, and one we may not fetch."""

    archive: Archive
    repo: Path
    url: str
    fork_url: str
    large_url: str
    missing_url: str
    private_url: str
    night_text: str
    """The text output of ``nightly``."""


@pytest.fixture(scope="module")
def small(make_archive: MakeArchive, served: Path, web: Peer) -> Small:
    repo = init(served / "small.git")
    python, c, odd = put(repo, "blob", PYTHON), put(repo, "blob", C), put(repo, "blob", TEXT.encode())
    inner = put_tree(repo, ("100644", "copy.py", python))
    tree = put_tree(
        repo,
        ("100644", "a.py", python),
        ("100644", "main.c", c),
        ("40000", "sub", inner),
        ("100644", "\u65e5.txt", odd),
    )
    tip = put_commit(repo, tree, message=TEXT.encode(), author=b"J\xf6rg <j@example.com> 1700000000 +0530")
    set_refs(repo, {b"refs/heads/main": tip})
    fork_of(repo, served / "fork.git", commits=1)
    large = init(served / "large.git")
    blobs = put(large, "blob", b"small\n"), put(large, "blob", b"x" * 5000)
    tree = put_tree(large, ("100644", "a", blobs[0]), ("100644", "b", blobs[1]))
    set_refs(large, {b"refs/heads/main": put_commit(large, tree)})
    census = {"jobs": ["language_census"]}
    archive = make_archive("small", nightly=census, fetch__limits={"blob_bytes": 1000})
    url, fork_url, large_url, missing_url = (web.url(f"{name}.git") for name in ("small", "fork", "large", "missing"))
    private_url = "http://10.1.2.3/repo.git"
    archive.run("origins", "add", url)
    archive.run("origins", "add", fork_url, "--fork-of", url)
    archive.add(large_url, missing_url, private_url)
    # Exit code 1 is for problems that need attention: not for a missing repository, or one we may not fetch.
    said = archive.run("nightly", "--night", str(night(1)), code=0)
    return Small(archive, repo, url, fork_url, large_url, missing_url, private_url, said.stdout)


def show(said: Said) -> str:
    """Text output without the padding of columns."""
    return " ".join(said.stdout.split())


# init


def test_init_says_what_it_did_and_does_it_once(place: Place, tmp_path: Path) -> None:
    archive = Archive.at(place, tmp_path, "fresh")
    said = archive.run("init", "--buckets", "3")
    where = archive.storage.root_uri
    assert show(said) == f"Created an archive with 3 buckets at {where}"
    again = archive.run("init", "--buckets", "5")
    assert show(again) == f"There already is an archive with 3 buckets at {where}; nothing was changed"
    assert archive.init() == {"created": False, "location": where, "buckets": 3}
    assert archive.status()["nights"] == []
    assert "none yet" in show(archive.run("status"))


def test_the_archive_option_wins_over_the_configured_place(place: Place, tmp_path: Path) -> None:
    archive = Archive.at(place, tmp_path, "configured")
    other = f"{place.root}/other"
    said = archive.run("init", "--archive", other, "--output", "json")
    assert said.json["location"].endswith("/other")
    assert archive.run("status", code=2).stderr.strip().endswith("create one with `pipeline init`")
    assert archive.run("status", "--archive", other, "--output", "json").json["origins"] == {}


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("nightly",),
        ("origins", "list"),
        ("origins", "add", "https://example.org/a"),
        ("restore", "https://example.org/a", "somewhere"),
        ("sql", "SELECT 1"),
        ("submit", "language_census"),
        ("backfill", "origins", "--from", "LIST"),
        ("backfill", "job", "language_census", "--from", "2026-11-01", "--to", "2026-11-02"),
    ],
    ids=lambda words: "-".join(words[:2]),
)
def test_nothing_works_without_an_archive(place: Place, tmp_path: Path, words: tuple[str, ...]) -> None:
    archive = Archive.at(place, tmp_path, "absent")
    (tmp_path / "list").write_text("https://example.org/a\n")
    said = archive.run(*(str(tmp_path / "list") if word == "LIST" else word for word in words), code=2)
    assert f"there is no archive at {archive.storage.root_uri}" in said.stderr
    assert said.stdout == ""
    assert list(archive.storage.list()) == []


@pytest.mark.parametrize("words", [("nightly",), ("backfill", "origins", "--from", "LIST")], ids=lambda words: words[0])
def test_an_archive_of_another_version_is_left_alone(place: Place, tmp_path: Path, words: tuple[str, ...]) -> None:
    archive = Archive.at(place, tmp_path, f"newer-{words[0]}")
    (tmp_path / "list").write_text("https://example.org/a\n")
    archive.storage.create("archive.json", b'{"format": 99, "buckets": 4, "created_at": "2026-11-01T00:00:00Z"}')
    archive.storage.create("runs/2026-11-01/plan.json", b"{}")
    said = archive.run(*(str(tmp_path / "list") if word == "LIST" else word for word in words), code=2)
    assert "has format 99" in said.stderr
    assert [entry.path for entry in archive.storage.walk()] == ["archive.json", "runs/2026-11-01/plan.json"]


def test_an_archive_of_an_earlier_version_is_upgraded_by_one_command(place: Place, tmp_path: Path) -> None:
    archive = Archive.at(place, tmp_path, "older")
    archive.run("init")
    info = json.loads(archive.storage.read("archive.json"))
    archive.storage.replace("archive.json", json.dumps(info | {"format": 1}).encode())
    licence = "is_generated, spdx_id, spdx_confidence"
    dates = "newest_commit, commit_days"
    scheduled = f"asked_at, signalled_at, signals, changes, silent, watched, objects, {dates}"
    dropped = {"files": "line, base", "head_blobs": licence, "repositories": "tree", "origins": scheduled}
    dropped["visits"] = dates
    for table, columns in dropped.items():
        archive.spark.sql(f"ALTER TABLE archive.code.{table} WRITE UNORDERED")
        archive.spark.sql(f"ALTER TABLE archive.code.{table} DROP COLUMNS ({columns})")
        unleased(archive.spark).table(table).commit_nothing()
    said = archive.run("nightly", code=2)
    assert "run `pipeline upgrade`" in said.stderr
    assert archive.run("upgrade", "--output", "json").json["before"] == 1
    assert json.loads(archive.storage.read("archive.json")) == info
    for table, column in (
        ("files", "line"),
        ("head_blobs", "spdx_id"),
        ("repositories", "tree"),
        ("origins", "watched"),
        ("origins", "commit_days"),
        ("visits", "newest_commit"),
    ):
        archive.spark.catalog.refreshTable(f"archive.code.{table}")
        assert column in archive.spark.table(f"archive.code.{table}").columns
    assert archive.run("upgrade", "--output", "json").json["before"] == 5
    archive.run("fsck")


def test_a_signal_of_an_earlier_version_is_of_an_unknown_kind(place: Place, tmp_path: Path) -> None:
    archive = Archive.at(place, tmp_path, "unknown-kinds")
    archive.run("init")
    urls = ("https://example.org/a", "https://example.org/b")
    archive.add(*urls)
    info = json.loads(archive.storage.read("archive.json"))
    archive.storage.replace("archive.json", json.dumps(info | {"format": 3}).encode())
    archive.spark.sql("ALTER TABLE archive.code.origins DROP COLUMN signals")
    archive.spark.sql(f"UPDATE archive.code.origins SET signalled_at = TIMESTAMP '2026-11-01' WHERE url = '{urls[0]}'")
    assert "run `pipeline upgrade`" in archive.run("origins", "pushed", urls[1], code=2).stderr
    assert archive.run("upgrade", "--output", "json").json["before"] == 3
    archive.run("origins", "pushed", "https://example.org/*")
    found = {row["url"]: row for row in archive.ask("origins", "list")}
    assert [found[url]["signals"] for url in urls] == [None, ["pushed"]]
    assert None not in [found[url]["signalled_at"] for url in urls]


# origins


@pytest.mark.slow
def test_origins_are_added_once(small: Small) -> None:
    assert small.archive.ask("origins", "add", small.url) == {"added": 0, "known": 1, "refused": []}
    said = small.archive.run("origins", "add", small.url)
    assert show(said) == "0 origins added, 1 already known"


def test_a_list_of_origins(make_archive: MakeArchive, tmp_path: Path) -> None:
    archive = make_archive("lists")
    listed = tmp_path / "origins.txt"
    listed.write_text(
        "# comment\n\nhttps://example.org/a/   # with a comment\nHTTPS://Example.org/a\n"
        "https://example.org/b https://example.org/a\n"
    )
    assert archive.ask("origins", "add", "--from", listed) == {"added": 2, "known": 0, "refused": []}
    more = ("https://example.org/c", "https://example.org/d", "--fork-of", "https://example.org/a")
    assert archive.ask("origins", "add", *more) == {"added": 2, "known": 0, "refused": []}
    found = archive.ask("origins", "list")
    root = "https://example.org/a"
    assert [(o["url"], o["fork_of"], o["state"], o["last_visit"]) for o in found] == [
        (f"https://example.org/{name}", None if name == "a" else root, "active", None) for name in "abcd"
    ]
    assert len({o["network"] for o in found}) == 1


def test_bad_lines_are_told_by_number_and_nothing_is_added(small: Small, tmp_path: Path) -> None:
    archive = small.archive
    before = archive.ask("origins", "list")
    listed = tmp_path / "origins.txt"
    listed.write_text(
        "https://example.org/a\n/srv/a.git\n# fine\nhttps://example.org/b c d\nhttps://u:pw@example.org/c\n"
    )
    said = archive.run("origins", "add", "--from", listed, code=2)
    assert "nothing was added, 3 lines cannot be used" in said.stderr
    assert [line.split()[1] for line in said.stderr.splitlines() if line.startswith("  line")] == ["2:", "4:", "5:"]
    assert "pw" not in said.stderr
    assert archive.ask("origins", "list") == before


def test_origins_list_as_text(small: Small) -> None:
    said = small.archive.run("origins", "list")
    for expected in (small.url, small.fork_url, small.missing_url, "active", "not_found"):
        assert expected in said.stdout


@pytest.mark.parametrize("words", [(), ("https://a.example/b", "--from", "-"), ("--from", "-", "--fork-of", "x")])
def test_origins_add_wants_one_source(small: Small, words: tuple[str, ...]) -> None:
    said = small.archive.run("origins", "add", *words, code=2, stdin="")
    assert "give URLs, with --fork-of if they are forks, or --from FILE" in said.stderr


# nightly and status


def test_nightly_tells_people_what_happened(small: Small) -> None:
    told = " ".join(small.night_text.split())
    assert "Night 2026-11-01" in told
    assert "2 full, 1 not_found, 1 partial, 1 refused" in told
    assert "of what came over the wire" in told
    for stage in ("plan", "fetch", "publish", "derive", "seal", "jobs"):
        assert stage in told
    assert small.missing_url in told
    assert "http://10.1.2.3/repo.git refused address_refused" in told


def test_status_in_numbers(small: Small) -> None:
    found = small.archive.status()
    assert found["nights"] == [str(night(1))]
    assert found["origins"] == {"active": 5}
    assert found["last_visits"] == {"full": 2, "not_found": 1, "partial": 1, "refused": 1}
    rows = {table: len(small.archive.rows(table)) for table in found["objects"]}
    assert found["objects"] == rows
    assert rows["commits"] == 3
    assert found["raw_bytes"] == sum(row["size"] for row in small.archive.sql("SELECT size FROM blobs"))
    assert found["stored_bytes"] > 1000
    told = show(small.archive.run("status"))
    assert "1, 2026-11-01 to 2026-11-01" in told
    assert "5 active" in told


def test_status_of_an_origin(small: Small) -> None:
    tip = resolve(small.repo, "main")
    found = small.archive.status(small.url)
    assert (found["url"], found["fork_of"], found["next_due"]) == (small.url, None, str(night(2)))
    assert found["refs"] == [
        {"name": "HEAD", "target": tip, "symref": "refs/heads/main", "since": str(night(1))},
        {"name": "refs/heads/main", "target": tip, "symref": None, "since": str(night(1))},
    ]
    assert small.archive.status(small.fork_url)["fork_of"] == small.url
    (visit,) = small.archive.status(small.missing_url)["visits"]
    assert (visit["status"], visit["error"]) == ("not_found", "not_found")
    told = show(small.archive.run("status", small.url + "/"))
    assert tip in told
    said = small.archive.run("status", "https://example.org/unknown", code=2)
    assert "is not an origin of this archive" in said.stderr


# restore


def test_restore_tells_what_it_wrote(small: Small, tmp_path: Path) -> None:
    to = tmp_path / "one.git"
    said = small.archive.run("restore", small.url, to)
    assert show(said) == f"Restored {small.url} as of 2026-11-01 to {to}: 1 refs, 6 objects"
    again = tmp_path / "two.git"
    found = small.archive.ask("restore", small.url, again, "--night", str(night(1)))
    assert (found["directory"], found["refs"], found["objects"], found["not_stored"]) == (str(again), 1, 6, 0)
    assert git(again, "rev-parse", "main") == git(small.repo, "rev-parse", "main")


def test_restore_refuses_what_it_can_not_do(small: Small, tmp_path: Path) -> None:
    used = tmp_path / "used"
    used.mkdir()
    (used / "precious").write_text("data")
    assert str(used) in small.archive.run("restore", small.url, used, code=2).stderr
    assert [path.name for path in used.iterdir()] == ["precious"]
    to = tmp_path / "to.git"
    for words, says in (
        (("https://example.org/unknown",), "is not an origin"),
        ((small.missing_url,), "was never archived: no visit succeeded"),
        ((small.url, "--night", "2026-10-31"), "there is no night 2026-10-31"),
        ((small.url, "--night", "yesterday"), "is not a date like"),
    ):
        said = small.archive.run("restore", *words, to, code=2)
        assert says in said.stderr
        assert not to.exists()


def test_a_blob_over_the_limit_is_told_when_it_is_missing(small: Small, tmp_path: Path) -> None:
    found = small.archive.ask("restore", small.large_url, tmp_path / "r.git", code=1)
    assert (found["objects"], found["not_stored"]) == (3, 1)
    mine = f"WHERE network = (SELECT network FROM origins WHERE url = '{small.large_url}')"
    assert small.archive.sql(f"SELECT stored, size FROM blobs {mine} ORDER BY size") == [
        {"stored": "yes", "size": 6},
        {"stored": "too_large", "size": 5000},
    ]
    assert small.archive.sql(f"SELECT size FROM contents {mine}") == [{"size": 6}]


# sql


def test_sql_in_text_and_json(small: Small) -> None:
    query = "SELECT hex(oid) AS id, author_name, message, author_time, tree FROM commits WHERE message LIKE 'caf%'"
    (row,) = small.archive.sql(query)
    assert row["id"].lower() == resolve(small.repo, "main")
    assert row["tree"] == resolve(small.repo, "main^{tree}")
    assert row["message"] == TEXT
    assert row["author_time"].startswith("2023-11-14T22:13:20")
    assert row["tree"] in small.archive.run("sql", query).stdout


def test_sql_has_values_that_json_lacks(small: Small) -> None:
    (row,) = small.archive.sql(
        "SELECT CAST(1.50 AS DECIMAL(5, 2)) AS price, double('NaN') AS nan, DATE '2026-11-01' AS day, X'00ff' AS bytes,"
        " named_struct('a', array(X'01', NULL)) AS nested, map('k', 1) AS pairs, INTERVAL '1' DAY AS wait,"
        " NULL AS nothing"
    )
    assert row == {
        "price": "1.50",
        "nan": "nan",
        "day": "2026-11-01",
        "bytes": "00ff",
        "nested": {"a": ["01", None]},
        "pairs": {"k": 1},
        "wait": "P1D",
        "nothing": None,
    }


def test_sql_limits_what_it_shows(small: Small) -> None:
    said = small.archive.run("sql", "SELECT explode(sequence(1, 5)) AS n", "--limit", "2")
    assert "The first 2 rows; see more with --limit" in said.stdout
    said = small.archive.run("sql", "SELECT explode(sequence(1, 5)) AS n", "--limit", "2", "--output", "json")
    assert said.json == [{"n": 1}, {"n": 2}]
    assert said.stderr == "The first 2 rows; see more with --limit\n"


def test_sql_for_programs_leaves_no_row_out(small: Small) -> None:
    many = "SELECT explode(sequence(1, 2500)) AS n"
    assert small.archive.run("sql", many, "--output", "json").json == [{"n": n} for n in range(1, 2501)]
    said = small.archive.run("sql", many, "--output", "csv")
    assert said.stdout.splitlines() == ["n", *map(str, range(1, 2501))]
    assert "The first 1,000 rows" in small.archive.run("sql", many).stdout


def test_sql_from_a_file_or_standard_input(small: Small, tmp_path: Path) -> None:
    text = "SELECT ';' AS a; -- the second: \n SELECT 2 AS b;"
    both = '[\n{"a": ";"}\n]\n[\n{"b": 2}\n]\n'
    file = tmp_path / "statements.sql"
    file.write_text(text)
    ways: list[tuple[list[str | Path], str | None]]
    ways = [(["--file", file], None), (["-"], text), (["--file", "-"], text), ([text], None)]
    for words, stdin in ways:
        assert small.archive.run("sql", *words, "--output", "json", stdin=stdin).stdout == both
    assert ";" in small.archive.run("sql", text).stdout
    wrong: list[tuple[list[str | Path], str]] = [
        ([], "give a statement"),
        (["SELECT 1", "--file", file], "give a statement"),
        (["/* nothing */"], "there is no statement"),
        ([text, "--output", "csv"], "2 statements have one result each"),
        (["SELECT 1; DROP TABLE commits", "--output", "json"], "only statements that read"),
    ]
    for words, says in wrong:
        said = small.archive.run("sql", *words, code=2)
        assert says in said.stderr
        assert said.stdout == ""


def test_sql_into_a_file(small: Small, tmp_path: Path) -> None:
    query = "SELECT oid, author_time, size(parents) AS parents FROM commits ORDER BY oid"
    table = tmp_path / "commits.parquet"
    said = small.archive.run("sql", query, "--out", table)
    assert (said.stdout, said.stderr) == ("", f"3 rows written to {table}\n")
    stored = small.archive.read().table("commits").orderBy("oid").select("oid", "author_time").toArrow().to_pylist()
    found = pq.read_table(table).to_pylist()
    assert [(row["oid"], row["author_time"]) for row in found] == [(row["oid"], row["author_time"]) for row in stored]
    other = tmp_path / "commits.csv"
    other.write_text("older")
    small.archive.run("sql", "SELECT raise_error('no') FROM commits", "--out", other, code=2)
    assert (other.read_text(), len(list(tmp_path.iterdir()))) == ("older", 2)
    small.archive.run("sql", query, "--out", other)
    assert len(other.read_text().splitlines()) == 4
    wrong: list[tuple[list[str | Path], str]] = [
        (["--out", tmp_path / "commits"], "name its format with --output"),
        (["--output", "parquet"], "Parquet needs a file"),
        (["--out", tmp_path / "no" / "c.csv"], "cannot be written: No such file or directory"),
        (["--out", tmp_path, "--output", "csv"], "cannot be written: it is a folder"),
    ]
    for words, says in wrong:
        assert says in small.archive.run("sql", query, *words, code=2).stderr
    said = small.archive.run("sql", "SELECT 1 AS a, 2 AS a", "--output", "json", code=2)
    assert "more than one column is named a" in said.stderr


def test_times_in_sql_do_not_follow_the_machine(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    query = "SELECT author_time FROM commits WHERE message LIKE 'caf%'"
    try:
        monkeypatch.setenv("TZ", "Asia/Kathmandu")
        time.tzset()
        (row,) = small.archive.sql(query)
        assert row == {"author_time": "2023-11-14T22:13:20Z"}
        assert "2023-11-14 22:13:20" in small.archive.run("sql", query).stdout
        assert small.archive.run("sql", query, "--output", "csv").stdout == "author_time\n2023-11-14T22:13:20Z\n"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.slow
def test_whoever_stops_reading_ends_the_command(small: Small) -> None:
    many = "SELECT explode(sequence(1, 1000000)) AS n"
    with small.archive.start("sql", many, "--output", "csv") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert [process.stdout.readline() for _ in range(2)] == ["n\n", "1\n"]
        process.stdout.close()
        said = process.stderr.read()
    assert "Traceback" not in said
    assert "unexpected" not in said


@pytest.mark.slow
def test_a_shell_has_the_tables(small: Small) -> None:
    words = "print('rows', commits.count(), archive.night(), spark.table('tags').count(), F.lit(1) is not None)\n"
    with small.archive.start("shell", stdin=subprocess.PIPE) as process:
        said, noise = process.communicate(words)
    assert process.returncode == 0, noise
    assert f"rows 3 {night(1)} 0 True" in said
    assert f"Night {night(1)}. archive (Archive)" in noise


def test_every_table_can_be_described_and_joined(small: Small) -> None:
    for table in ALL:
        columns = {row["col_name"]: row["comment"] for row in small.archive.sql(f"DESCRIBE {table.name}")}
        assert set(columns) == set(shown_columns(table))
        assert all(columns.values())
    joined = "SELECT path, language, lines FROM files JOIN head_blobs USING (bucket, network, oid) WHERE origin = "
    found = {row["path"]: (row["language"], row["lines"]) for row in small.archive.sql(f"{joined}'{small.url}'")}
    assert set(found) == {"a.py", "main.c", "sub/copy.py", "\u65e5.txt"}
    assert (found["a.py"], found["sub/copy.py"], found["main.c"]) == (("Python", 5), ("Python", 5), ("C", 4))


def test_python_workers_read_contents_themselves(small: Small) -> None:
    def lengths(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"length": [len(content) for content in batch.column(0).to_pylist()]})

    measured = small.archive.read().map_contents(lengths, "length bigint")
    assert "contents.files" in measured._jdf.queryExecution().executedPlan().toString()
    found = sorted(row["length"] for row in measured.collect())
    assert found == sorted(row["size"] for row in small.archive.sql("SELECT size FROM contents"))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT nonsense FROM commits", "UNRESOLVED_COLUMN"),
        ("SELECT * FROM packs", "TABLE_OR_VIEW_NOT_FOUND"),
        ("SELEKT", "PARSE_SYNTAX_ERROR"),
        ("SELECT raise_error('no') FROM commits", "USER_RAISED_EXCEPTION"),
    ],
)
def test_sql_errors_are_spark_s_own_without_a_stack_trace(small: Small, query: str, says: str) -> None:
    said = small.archive.run("sql", query, code=2)
    assert says in said.stderr
    assert "\tat org.apache" not in said.stderr
    assert "Traceback" not in said.stderr
    assert said.stdout == ""


def test_sql_of_another_night(small: Small) -> None:
    assert small.archive.sql("SELECT count(*) AS n FROM visits", day=1) == [{"n": 5}]
    said = small.archive.run("sql", "SELECT 1", "--night", "2026-10-01", code=2)
    assert "there is no night 2026-10-01; the archive has 1, the latest are 2026-11-01" in said.stderr


# export


@pytest.mark.slow
def test_export_tells_what_it_wrote_and_where_it_may_not(small: Small) -> None:
    to = f"{small.archive.location}-set"
    found = small.archive.ask("export", to, "--language", "python", "--vendored")
    assert (found["files"], found["bytes"], found["shards"], found["left_out"]) == (1, len(PYTHON), 1, {})
    assert found["languages"] == {"Python": {"rows": 1, "content_bytes": len(PYTHON)}}
    said = small.archive.run("export", to, "--language", "Python", "--vendored")
    assert f"Exported to {found['location']}" in show(said)
    assert "--replace" in small.archive.run("export", to, code=2).stderr
    unknown = small.archive.run("export", to, "--language", "Pyton", code=2).stderr
    assert "no language has the name Pyton; did you mean Python" in unknown
    assert "inside the archive" in small.archive.run("export", f"{small.archive.location}/set", code=2).stderr
    assert "does not fit" in small.archive.run("export", to, "--shard-bytes", "1MB", code=2).stderr


# jobs


def test_the_census_has_its_result_and_its_lineage(small: Small) -> None:
    rows = small.archive.sql("SELECT language, files, bytes, repositories, night FROM archive.results.language_census")
    found = {row["language"]: row for row in rows}
    assert found["Python"] == {
        "language": "Python",
        "files": 1,
        "bytes": len(PYTHON),
        "repositories": 2,
        "night": str(night(1)),
    }
    assert (found["C"]["files"], found["C"]["bytes"], found["C"]["repositories"]) == (1, len(C), 2)
    (run,) = small.archive.sql("SELECT * FROM archive.results.runs")
    assert (run["job"], run["night"], run["version"]) == ("language_census", str(night(1)), __version__)
    assert (run["arguments"], run["rows"]) == ([], len(rows))
    assert json.loads(run["snapshots"]) == small.archive.read(1).snapshots()
    lineage = json.loads(small.archive.storage.read(f"results/language_census/{night(1)}.json"))
    assert (lineage["job"], lineage["rows"], lineage["snapshot"]) == (run["job"], len(rows), run["result_snapshot"])


@pytest.mark.slow
def test_submit_runs_a_job_again(small: Small) -> None:
    before = small.archive.sql("SELECT * FROM archive.results.language_census ORDER BY language")
    found = small.archive.ask("submit", "language_census", "--night", str(night(1)))
    assert sorted(found, key=lambda row: row["language"] or "") == before
    assert "Python" in small.archive.run("submit", "language_census").stdout
    assert len(small.archive.sql("SELECT * FROM archive.results.runs")) == 1


@pytest.mark.slow
def test_a_job_s_own_error_names_its_own_line(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "__path__", [*jobs.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    for name, body, says in (
        ("own_error", "return {}['language']", "failed at jobs/own_error.py, line 2, in main: KeyError: 'language'"),
        (
            "own_query",
            "return archive.table('commits').select('no')",
            "line 2, in main: Spark failed with Ext",
        ),
        ("own_table", "return archive.table('packs')", "there is no table 'packs'"),
        ("nothing", "pass", "the result of job 'nothing' cannot be stored: main() returned nothing"),
    ):
        (tmp_path / f"{name}.py").write_text(f"def main(archive, argv):\n    {body}\n")
        said = small.archive.run("submit", name, code=2)
        assert says in said.stderr
        assert "Traceback" not in said.stderr
        assert said.stdout == ""
        del sys.modules[f"jobs.{name}"]


def test_a_dry_run_tells_and_runs_nothing(small: Small) -> None:
    runs = len(small.archive.sql("SELECT * FROM archive.results.runs"))
    found = small.archive.ask("submit", "language_census", "--dry-run")
    assert (found["job"], found["night"]) == ("language_census", str(night(1)))
    tables = {table["table"]: table for table in found["reads"]["tables"]}
    assert set(tables) == {"files", "head_blobs", "repositories"}
    for name, table in tables.items():
        (book,) = small.archive.sql(
            f"SELECT count(*) AS files, sum(record_count) AS rows, sum(file_size_in_bytes) AS size "
            f"FROM archive.code.{name}.files"
        )
        assert (table["files"], table["rows"], table["stored_bytes"]) == (book["files"], book["rows"], book["size"])
        assert table["raw_bytes"] > 0
        assert table["tasks"] == 1
    assert found["settings"]["spark.sql.shuffle.partitions"] == "4"
    assert found["reads"]["cpu_s"] <= found["reads"]["python_cpu_s"] <= 2 * found["reads"]["elapsed_s"]
    said = show(small.archive.run("submit", "language_census", "--dry-run", "--night", str(night(1))))
    assert f"What language_census could read on {night(1)}" in said
    assert "head_blobs" in said
    assert "CPU seconds" in said
    assert "spark.sql.sources.v2.bucketing.enabled" in said
    assert len(small.archive.sql("SELECT * FROM archive.results.runs")) == runs
    assert "there is no job" in small.archive.run("submit", "no_such_job", "--dry-run", code=2).stderr


def test_a_dry_run_for_a_cluster_starts_none(small: Small) -> None:
    shape = {"threads": 1000, "memory_bytes": 6 * 10**12, "disk_bytes": 5 * 10**14}
    secret = {"spark.hadoop.fs.secret.key": "hush"}
    sections: dict[str, dict[str, Any]] = {"spark": {"master": "yarn"}, "spark.cluster": shape, "spark.conf": secret}
    there = small.archive.with_settings(**sections)
    found = there.ask("submit", "language_census", "--dry-run")
    assert found["settings"]["spark.executor.instances"] == "200"
    assert found["settings"]["spark.hadoop.fs.secret.key"] == "(hidden)"
    assert found["settings"]["spark.sql.shuffle.partitions"] == "4000"
    assert "% of the disk" in show(there.run("submit", "language_census", "--dry-run"))


def test_submit_refuses_what_it_can_not_run(small: Small) -> None:
    for words, says in (
        (("no_such_job",), "there is no job no_such_job; known jobs: commit_activity, "),
        (("no/such.py",), "no/such.py is not a Python file with a function main"),
        (("language_census", "--night", "2026-10-01"), "there is no night 2026-10-01"),
        (("language_census", "--", "--deep", "x"), "language_census takes no arguments, but was given --deep x"),
    ):
        assert says in small.archive.run("submit", *words, code=2).stderr


def test_nothing_due_makes_a_night_and_a_job_needs_one(make_archive: MakeArchive) -> None:
    archive = make_archive("nothing-due")
    assert "no night has been completed yet" in archive.run("submit", "language_census", code=2).stderr
    assert archive.nightly(1)["origins"] == {}
    assert archive.ask("submit", "language_census") == []
    assert archive.nightly(2)["objects"] == 0
    assert archive.status()["nights"] == [str(night(1)), str(night(2))]


def test_jobs_lists_what_there_is(small: Small) -> None:
    found = {job["name"]: job["description"] for job in small.archive.ask("jobs")}
    assert found["language_census"] == "Files, bytes and repositories of each language at HEAD."
    assert found["language_census"] in show(small.archive.run("jobs"))


# configuration


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[fetch]\nworker = 2\n", "fetch.worker: no such key"),
        ("[fetch.limits]\nsilence = 2\n", "fetch.limits.silence: no such key"),
        ("[fetsch]\n", "fetsch: no such key"),
        ("[fetch]\nworkers = 0\n", "fetch.workers: Input should be greater than or equal to 1"),
        ("[fetch]\nworkers =\n", "not TOML"),
        ('[log]\nlevel = "LOUD"\n', "log.level"),
    ],
)
def test_a_bad_configuration_names_file_and_key(small: Small, tmp_path: Path, text: str, says: str) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    archive = dataclasses.replace(small.archive, folder=folder)
    archive.config_path.write_text(text)
    said = archive.run("status", "--output", "json", code=2)
    assert f"{archive.config_path}: " in said.stderr
    assert says in said.stderr
    assert said.stdout == ""


def test_a_configuration_that_is_not_there(small: Small, tmp_path: Path) -> None:
    archive = dataclasses.replace(small.archive, folder=tmp_path / "none")
    assert "No such file" in archive.run("status", code=2).stderr


def test_wrong_usage_is_told_with_help(small: Small) -> None:
    for words in (("nightly", "--nigth", "x"), ("restore", small.url), ("frobnicate",), ("init", "--buckets", "0")):
        said = small.archive.run(*words, code=2)
        assert "Usage: " in said.stderr
        assert said.stdout == ""
