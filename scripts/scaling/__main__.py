"""The command behind ``scripts/scale``."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click

from benchmarks.__main__ import HERMETIC, circumstances
from benchmarks.repositories import serving
from pipeline.cli.output import Output
from scaling import parts, report, skew
from scaling.family import Family
from scaling.server import made_up_server
from scaling.steps import Step

logger = logging.getLogger("scaling")
Found = Iterator[tuple[str, list[Step]]]


def _numbers(context: click.Context, option: click.Parameter, value: str) -> list[int]:
    try:
        found = [int(word) for word in value.split(",")]
    except ValueError:
        raise click.BadParameter("whole numbers with commas between them are needed") from None
    if min(found) < 1:
        raise click.BadParameter("the numbers begin at 1")
    return found


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), help="Scratch folder.  [default: temporary]")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Also write figures here.")
@click.pass_context
def scale(context: click.Context, work: Path | None, json_path: Path | None) -> None:
    """Measure what grows with the archive: CPU seconds, peak memory, and bytes and rows written, on made-up archives.

    First visits of made-up repositories are written by a fetch task's own writers; all else is our commands as users
    run them, against a server that answers at once. ``skew`` has real repositories and git's own server.
    """
    logging.basicConfig(level="WARNING", format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logger.setLevel("INFO")
    os.environ.update(HERMETIC)
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
    context.obj = (context.with_resource(tempfile.TemporaryDirectory(prefix="scale-", dir=work)), json_path)


@scale.command()
@click.option("--networks", default=25_000, type=click.IntRange(1), help="A root with 98 files and a fork each.")
@click.pass_obj
def dense(given: tuple[str, Path | None], networks: int) -> None:
    """One bucket, as dense as a tenth of one on the cluster."""
    with made_up_server() as server:
        _tell(parts.dense(Path(given[0]), server, networks), given[1])


@scale.command()
@click.option("--origins", default="1000,10000,100000", callback=_numbers, help="Origins of each archive.")
@click.option("--changed", default=100, type=click.IntRange(1), help="Origins that change.")
@click.pass_obj
def growth(given: tuple[str, Path | None], origins: list[int], changed: int) -> None:
    """The same change in archives of several sizes."""
    if min(origins) < changed:
        raise click.UsageError(f"an archive of {min(origins)} origins cannot have {changed} changed ones")
    with made_up_server() as server:
        _tell(parts.growth(Path(given[0]), server, origins, changed), given[1])


@scale.command()
@click.option("--after", default="10,60", callback=_numbers, help="Measure the night after so many.")
@click.option("--origins", default=200, type=click.IntRange(10), help="A tenth of them changes each night.")
@click.pass_obj
def nights(given: tuple[str, Path | None], after: list[int], origins: int) -> None:
    """Nights without maintenance."""
    with made_up_server() as server:
        _tell(parts.nights(Path(given[0]), server, after, origins), given[1])


@scale.command()
@click.option("--after", default="10,60", callback=_numbers, help="Measure the fetch task after so many nights.")
@click.option("--origins", default=25, type=click.IntRange(10), help="A tenth of them changes each night.")
@click.option("--times", default=9, type=click.IntRange(1), help="Measure so often, and report the median.")
@click.pass_obj
def landed(given: tuple[str, Path | None], after: list[int], origins: int, times: int) -> None:
    """A fetch task of one bucket after nights without maintenance, without Spark."""
    with ExitStack() as stack:
        servers = [stack.enter_context(made_up_server()) for _ in after]
        found = dict(parts.landed(Path(given[0]), servers, after, origins, times))
    rows = [(f"{nights:,}", f"{1000 * cpu_s:.0f}") for nights, cpu_s in found.items()]
    Output("text").table("CPU milliseconds of a fetch task", ["after nights", "CPU-ms"], rows)
    if given[1] is not None:
        given[1].write_text(json.dumps({"circumstances": circumstances(), "fetch_cpu_s": found}, indent=1))


@scale.command()
@click.option("--visits", "count", default=1_000_000, type=click.IntRange(2), help="In one night.")
@click.pass_obj
def visits(given: tuple[str, Path | None], count: int) -> None:
    """Very many visits in one night, with a driver of 4 GB."""
    with made_up_server() as server:
        _tell(parts.visits(Path(given[0]), server, count), given[1])


@scale.command("skew")
@click.option("--files", default=20_000, type=click.IntRange(1), help="Of the root.")
@click.option("--forks", default=500, type=click.IntRange(skew.LEAST_FORKS), help="Each with a commit of its own.")
@click.pass_obj
def skewed(given: tuple[str, Path | None], files: int, forks: int) -> None:
    """A large root and its forks, real repositories: fails if memory, rows or files are not as they must be."""
    with serving(Path(given[0]) / "served") as server:
        try:
            _tell(skew.measure(Path(given[0]), Family(server, files, forks)), given[1])
        except skew.LimitMissed as error:
            raise click.ClickException(str(error)) from None


def _tell(found: Found, json_path: Path | None) -> None:
    """Show each archive's figures as soon as they are there."""
    when, steps = circumstances(), dict[str, list[Step]]()
    for title, some in found:
        steps[title] = some
        report.show(title, some)
        if json_path is not None:
            json_path.write_text(json.dumps(report.as_json(steps, when), indent=1))


if __name__ == "__main__":
    scale()
