"""The command behind ``scripts/bench``."""

from __future__ import annotations

import logging
import os
import platform
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click
import psutil

from benchmarks import report, results
from benchmarks.bench import Bench, Sizes, say
from benchmarks.measure import MB, command
from benchmarks.parts import big, fetch, forks, memory, nights, pages, questions, restore, scan, store
from benchmarks.repositories import NoRepositories, serving
from pipeline.cli.output import Output

ROOT = Path(__file__).parents[2]
PARTS: dict[str, Callable[[Bench], results.Found]] = {
    "fetch": fetch.measure,
    "store": store.measure,
    "big": big.measure,
    "pages": pages.measure,
    "memory": memory.measure,
    "nights": nights.measure,
    "forks": forks.measure,
    "scan": scan.measure,
    "restore": restore.measure,
    "questions": questions.measure,
}
HERMETIC = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def _chosen(context: click.Context, option: click.Parameter, value: str) -> list[str]:
    names = [name for name in value.split(",") if name]
    if unknown := set(names) - PARTS.keys():
        raise click.BadParameter(f"no such part: {', '.join(sorted(unknown))}; known parts: {', '.join(PARTS)}")
    return [name for name in PARTS if name in names]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@click.option("--only", default=",".join(PARTS), callback=_chosen, help="Parts to run; the others keep their figures.")
@click.option("--repeat", default=3, type=click.IntRange(1), help="Runs of short measurements; the median counts.")
@click.option("--big-mb", default=2_000, type=click.IntRange(1), help="Raw size of the long history, MB.")
@click.option("--pages-mb", default=960, type=click.IntRange(1), help="Raw size of the generated pages, MB.")
@click.option("--memory-mb", default=8_000, type=click.IntRange(1), help="Raw size of the history for memory, MB.")
@click.option("--head-mb", default=500, type=click.IntRange(1), help="Text at HEAD for scans, MB.")
@click.option("--origins", default=1_000, type=click.IntRange(1), help="Small origins per night.")
@click.option("--forks", "fork_count", default=5_000, type=click.IntRange(1), help="Forks of one root.")
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), help="Scratch folder.  [default: temporary]")
@click.option("--json", "json_path", default=ROOT / "docs" / "benchmarks.json", type=click.Path(path_type=Path))
@click.option("--docs", default=ROOT / "docs" / "BENCHMARKS.md", type=click.Path(path_type=Path))
def bench(
    folder: Path | None,
    only: list[str],
    repeat: int,
    big_mb: int,
    pages_mb: int,
    memory_mb: int,
    head_mb: int,
    origins: int,
    fork_count: int,
    work: Path | None,
    json_path: Path,
    docs: Path,
) -> None:
    """Compare the archive with git and others, on bundles or bare repositories in FOLDER (../shared/corpora).

    All costs are CPU seconds, user and system, of a process and all its children.
    """
    logging.basicConfig(level="WARNING", format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("benchmarks").setLevel("INFO")
    os.environ.update(HERMETIC)
    sizes = Sizes(big_mb * MB, pages_mb * MB, memory_mb * MB, head_mb * MB, origins, fork_count, repeat)
    parts = results.read(json_path)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "git-lakehouse"
    with tempfile.TemporaryDirectory(prefix="bench-", dir=work) as scratch, serving(Path(scratch) / "served") as server:
        run = Bench(folder or ROOT.parent / "shared" / "corpora", Path(scratch), cache, server, sizes)
        for name in only:
            try:
                parts[name] = results.Part(circumstances(), PARTS[name](run))
            except NoRepositories as error:
                raise click.ClickException(str(error)) from None
            parts = {name: parts[name] for name in PARTS if name in parts}
            results.write(json_path, parts)
            report.fill(docs, parts)
    show(parts, only)
    say("written: %s and %s", json_path, docs)


def circumstances() -> dict[str, str]:
    """Date, machine and versions."""
    packages = ("pyspark", "pyarrow", "dulwich")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{_processor()}, {os.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GiB, "
        f"{platform.system()}",
        "load when it began": f"{os.getloadavg()[0]:.1f}",
        "git": command(["git", "--version"]).split()[2],
        "Python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def show(parts: dict[str, results.Part], only: list[str]) -> None:
    """Print this run's findings."""
    output = Output("text")
    mine = {name: parts[name] for name in only}
    for part in mine.values():
        for table in part.found.tables:
            output.table(table.title, table.columns, report.cells(table))
    output.table("Targets", report.TARGET_COLUMNS, report.target_rows(mine))


if __name__ == "__main__":
    bench()
