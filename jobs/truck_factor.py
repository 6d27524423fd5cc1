"""How many people a project can lose before half of its code has no author left: the truck factor of Avelino et al.

Authors are those of ``jobs/authorship.py``, from the history of HEAD; neither merges nor programs count. People are
told apart by their address after the mailmap. Code are the files at HEAD in programming languages that are neither
vendored nor generated; one without a history has no author. Renames are followed where the content stayed the same.
Repositories without such files are left out, and those with more than four million rows (commits, files and changes).
Result, one row per repository that is no fork:

============  =============  ================================================================================
origin        string         the repository
files         bigint         files of code
authors       bigint         people who are authors of at least one of them
truck_factor  int            how many of them have to go; 0 if less than half of the files have an author now
people        array<string>  their addresses, those of most files first
============  =============  ================================================================================
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Annotated, Final

import pyarrow as pa
from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.authorship import Change, Commit, histories, oldest_first, truck_factor
from pipeline.read.archive import Archive
from pipeline.read.vendored import vendored
from pipeline.rules.language_types import other_types

READS = ["authors", "commit_files", "commits", "files", "head_blobs", "repositories"]

_NETWORK = ["bucket", "network"]
_ORIGIN = [*_NETWORK, "origin", "head_commit"]
_OBJECT = [*_NETWORK, "oid"]
MOST_ROWS: Final = 4_000_000
"""Commits, changes and files of a repository whose factor is computed: they take about 1 GB."""

_FOUND = pa.schema(
    [
        ("origin", pa.string()),
        ("files", pa.int64()),
        ("authors", pa.int64()),
        ("truck_factor", pa.int32()),
        ("people", pa.list_(pa.string())),
    ]
)
_TYPES = "origin string, files bigint, authors bigint, truck_factor int, people array<string>"


def truck_factors(
    repositories: DataFrame,
    commits: DataFrame,
    commit_files: DataFrame,
    authors: DataFrame,
    files: DataFrame,
    head_blobs: DataFrame,
) -> DataFrame:
    """The truck factor of some repositories; a Python worker holds the history of one at a time, up to ``MOST_ROWS``.

    Args:
        repositories: the rows of the table of this name that are asked for.
        commits, commit_files, authors, files, head_blobs: what has these names in SQL, of their networks at least.
    """
    wanted = repositories.where("head_commit IS NOT NULL").select(*_ORIGIN)
    people = authors.where("NOT is_bot").select(
        *_NETWORK, "origin", "author_name", "author_email", F.lower("email").alias("developer")
    )
    written = commits.dropDuplicates(_OBJECT).join(wanted, _NETWORK)
    written = written.join(people, [*_NETWORK, "origin", "author_name", "author_email"], "left").select(
        *_ORIGIN, "oid", "parents", F.unix_seconds("committer_time").alias("time"), "developer"
    )
    changes = commit_files.where("status <> 'X'").join(wanted, _NETWORK)
    changes = changes.select(*_ORIGIN, F.col("commit").alias("oid"), "status", "path", "old_path")
    blobs = head_blobs.where(_is_code()).select(*_OBJECT)
    code = files.where((F.col("kind") == "file") & ~vendored("path")).join(blobs, _OBJECT)
    code = code.join(wanted, [*_NETWORK, "origin"]).select(*_ORIGIN, "path")
    rows = written.unionByName(changes, allowMissingColumns=True).unionByName(code, allowMissingColumns=True)
    return rows.groupBy(*_ORIGIN).applyInArrow(_factor, _TYPES).orderBy("origin")


def _is_code() -> Column:
    language = F.col("language")
    return language.isNotNull() & ~language.isin(sorted(other_types())) & ~F.coalesce("is_generated", F.lit(False))


def _factor(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    origin, head = "", b""
    commits: dict[bytes, Commit] = {}
    changes: dict[bytes, list[Change]] = defaultdict(list)
    code: list[str] = []
    rows = 0
    for batch in batches:
        rows += len(batch)
        if rows > MOST_ROWS:
            commits, changes, code = {}, defaultdict(list), []
            continue
        for row in batch.to_pylist():
            origin, head = row["origin"], row["head_commit"]
            if row["status"] is not None:
                changes[row["oid"]].append(Change(row["status"], row["path"], row["old_path"]))
            elif row["oid"] is None:
                code.append(row["path"])
            else:
                commits[row["oid"]] = Commit(row["parents"] or (), row["time"] or 0, row["developer"])
    ordered = ((oid, commits[oid]) for oid in oldest_first(commits, head))
    found = histories((by.developer, changes[oid]) for oid, by in ordered if len(by.parents) < 2)
    authors = [found[path].authors() if path in found else set[str]() for path in code]
    if authors:
        lost = truck_factor(authors)
        row = {"origin": origin, "files": len(authors), "authors": len(set().union(*authors))}
        yield pa.RecordBatch.from_pylist([row | {"truck_factor": len(lost), "people": lost}], _FOUND)


def main(
    archive: Archive,
    origin: Annotated[tuple[str, ...], Field(description="only this repository, or these; else all but forks")] = (),
) -> DataFrame:
    """Compute the truck factors of the archive's night."""
    repositories = archive.table("repositories")
    repositories = repositories.where(F.col("origin").isin(*origin) if origin else F.col("fork_of").isNull())
    networks = [row.network for row in repositories.select("network").distinct().collect()] if origin else None

    def table(name: str) -> DataFrame:
        rows = archive.table(name)
        return rows if networks is None else rows.where(F.col("network").isin(networks))

    return truck_factors(
        repositories,
        table("commits"),
        archive.commit_files(networks=networks),
        archive.authors(networks=networks),
        table("files"),
        table("head_blobs"),
    )
