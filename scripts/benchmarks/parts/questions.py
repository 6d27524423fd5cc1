"""Twenty questions: the archive's SQL, git in mirrors that are there, and clones made for the question."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlglot

from benchmarks import archive, asked
from benchmarks.archive import Bed
from benchmarks.asked import Question
from benchmarks.bench import Bench, say
from benchmarks.measure import Cost, command, cost_of, in_child, measured, repeated, total
from benchmarks.results import Found, Table
from pipeline.cli.main import MODULES
from pipeline.model.errors import UsageError
from pipeline.read.archive import Archive

_REAL = (
    ("status",),
    ("origins", "list"),
    ("jobs",),
    ("results", "list"),
    ("doctor", "--quick"),
    ("sql", "SELECT 1"),
)
"""Commands that are run to their end, besides ``--help`` of each."""

_DASH = "-"


@dataclass(frozen=True, slots=True)
class Answered:
    """What a question costs; None for a side that cannot answer it."""

    question: Question
    spark: Cost
    duckdb: Cost | None
    git: Cost | None
    clones: Cost | None

    def row(self) -> tuple[object, ...]:
        """Costs in CPU seconds, and what Spark costs in ones of git and of clones."""
        costs = (self.spark, self.duckdb, self.git, self.clones)
        return (
            f"{self.question.number}. {self.question.title}",
            *(_DASH if cost is None else cost.cpu_s for cost in costs),
            *(_ratio(ours, theirs) for theirs in (self.git, self.clones) for ours in (self.spark, self.duckdb)),
        )


def measure(bench: Bench) -> Found:
    """Ask all questions of all sides, and start all commands."""
    urls = [repository.url for repository in bench.repositories]
    bed = Bed(bench.work / "questions")
    say("questions: archiving %d repositories", len(urls))
    in_child(fill, bed, urls)
    asking = asked.questions(urls[0])
    say("questions: the archive")
    ours = in_child(ask_archive, bed, asking, bench.sizes.repeat)
    say("questions: git, and clones")
    clones = [bench.work / "clones" / repository.name for repository in bench.repositories]
    cloning = repeated(bench.sizes.repeat, partial(clone_all, urls, clones))[1]
    answered = []
    for question, (spark, duckdb) in zip(asking, ours, strict=True):
        script = asked.BY_GIT.get(question.number)
        there = asked.IN_FILES.get(question.number, script)
        git = None if script is None else ask(bench, script, [repository.path for repository in bench.repositories])
        afresh = None if there is None else total([cloning, ask(bench, there, clones)])
        answered.append(Answered(question, spark, duckdb, git, afresh))
    columns = (
        "question", "Spark SQL, warm, CPU-s", "DuckDB CPU-s", "git CPU-s", "clone and grep CPU-s", "Spark against git",
        "DuckDB against git", "Spark against clone and grep", "DuckDB against clone and grep",
    )  # fmt: skip
    say("questions: the start of each command")
    started = tuple((" ".join(words), cost.cpu_s, cost.wall_s) for words, cost in starts(bed, bench.sizes.repeat))
    return Found(
        (),
        (
            Table("Twenty questions", columns, tuple(each.row() for each in answered)),
            Table("Start of each command", ("pipeline", "CPU-s", "s"), started),
        ),
    )


def fill(bed: Bed, urls: list[str]) -> None:
    """Archive them in a first night."""
    archive.create(bed, urls)
    archive.nightly(bed, 0)


def ask_archive(bed: Bed, asking: Sequence[Question], times: int) -> list[tuple[Cost, Cost | None]]:
    """The cost of each question in a warm session of Spark, and by DuckDB where it can answer."""
    through_spark = Archive(bed.spark(), None, bed.storage)
    for question in asking[:1]:
        through_spark.sql(question.sql).collect()
    found = []
    for question in asking:
        spark = repeated(times, partial(cost_of, lambda sql: through_spark.sql(sql).collect(), question.sql))[1]
        duckdb = None
        with suppress(UsageError):
            translated = sqlglot.transpile(question.sql, read="spark", write="duckdb")[0]
            duckdb = repeated(times, partial(cost_of, through_spark.arrow, translated))[1]
        found.append((spark, duckdb))
    return found


def clone_all(urls: Sequence[str], to: Sequence[Path]) -> tuple[None, Cost]:
    """The cost of clones with their files checked out, in the place of older ones."""
    for path in to:
        shutil.rmtree(path, ignore_errors=True)
    words: list[list[str | Path]] = [["git", "clone", "-q", url, path] for url, path in zip(urls, to, strict=True)]
    return None, total([measured(command, each)[1] for each in words])


def ask(bench: Bench, script: str, repositories: Sequence[Path]) -> Cost:
    """The cost of a script."""
    words: list[str | Path] = ["bash", "-euo", "pipefail", "-c", f"cd {bench.work}; {script}", "bash", *repositories]
    return repeated(bench.sizes.repeat, partial(measured, command, words))[1]


def starts(bed: Bed, times: int) -> list[tuple[Sequence[str], Cost]]:
    """What it costs until each command has said what it does, and some to their end."""
    program = Path(sys.executable).with_name("pipeline")
    named = [(name, "--help") for name in sorted(MODULES)]
    real = [(*words, "--config", str(bed.config_path)) for words in _REAL]
    costs = [repeated(times, partial(measured, command, [program, *words]))[1] for words in (*named, *real)]
    return list(zip((*named, *_REAL), costs, strict=True))


def _ratio(ours: Cost | None, theirs: Cost | None) -> object:
    return _DASH if ours is None or theirs is None or not theirs.cpu_s else ours.cpu_s / theirs.cpu_s
