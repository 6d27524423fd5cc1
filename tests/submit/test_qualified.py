"""While something is hidden, tables are read through their views, however their names are written."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from pipeline.model.tombstone import Hidden
from pipeline.read.submit import qualified
from pipeline.read.submit.parsed import parts
from pipeline.read.submit.qualified import LinesByTheirFullName, PastTheViews, check_names, tables_read

PAST = """
SELECT * FROM archive.code.origins
SELECT * FROM code.origins
SELECT * FROM Code.origins.files
SELECT * FROM archive.code.origins VERSION AS OF 1
SELECT * FROM archive.`x]`.`..`.code.origins
SELECT * FROM archive.`..`.`tables]x`.`..`.tables.code.origins
SELECT 1 WHERE EXISTS (SELECT 1 FROM code.refs.tag_x)
SELECT count(*) OVER w FROM range(1) WINDOW w AS (PARTITION BY (SELECT max(url) FROM archive.code.origins))
WITH q AS (SELECT url FROM archive.code.origins) SELECT * FROM q
VALUES ((SELECT max(url) FROM archive.code.origins))
SELECT * FROM range(1), LATERAL (SELECT url FROM archive.code.origins)
SELECT * FROM explode((SELECT collect_list(url) FROM archive.code.origins))
SELECT * FROM commits TIMESTAMP AS OF (SELECT max(url) FROM archive.code.origins)
"""

THROUGH = """
SELECT * FROM origins
SELECT * FROM archive.results.language_census
SELECT 'FROM archive.code.origins', code.origins FROM refs AS code
"""


@pytest.mark.parametrize("query", PAST.strip().splitlines())
def test_past_the_views(session: SparkSession, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    monkeypatch.setattr(qualified, "hidden_now", lambda spark: Hidden(urls=frozenset(["https://h/gone"])))
    with pytest.raises(PastTheViews):
        check_names(session, parts(session, query))


@pytest.mark.parametrize("query", THROUGH.strip().splitlines())
def test_through_the_views(session: SparkSession, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    monkeypatch.setattr(qualified, "hidden_now", lambda spark: Hidden(urls=frozenset(["https://h/gone"])))
    check_names(session, parts(session, query))


def test_while_nothing_is_hidden_any_name_will_do(session: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qualified, "hidden_now", lambda spark: Hidden())
    for query in PAST.strip().splitlines():
        check_names(session, parts(session, query))


@pytest.mark.parametrize("name", ["archive.code.files", "Code.Files", "code.files.tag_x", "code.files.snapshot_id_1"])
def test_lines_are_not_taken_for_files(session: SparkSession, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(qualified, "hidden_now", lambda spark: Hidden())
    with pytest.raises(LinesByTheirFullName, match="as lines that origins share"):
        check_names(session, parts(session, f"SELECT count(*) FROM {name}"))
    check_names(session, parts(session, "SELECT f.path, s.summary FROM files f, archive.code.files.snapshots s"))


@pytest.mark.parametrize(
    ("query", "tables"),
    [
        ("SELECT 1", set()),
        ("SELECT count(*) FROM Commits JOIN archive.code.refs.tag_x USING (network)", {"commits", "refs"}),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM visits)", {"visits"}),
        ("SELECT * FROM archive.results.language_census", set()),
        ("DESCRIBE blobs", {"blobs"}),
        ("DESCRIBE commit_files", {"commit_files"}),
        ("SELECT * FROM commit_files JOIN commits", {"commit_files", "commits"}),
    ],
)
def test_tables_that_a_query_reads(session: SparkSession, query: str, tables: set[str]) -> None:
    assert tables_read(parts(session, query)) == tables
