"""``pipeline schedule``."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.common import Context, command_options
from pipeline.rules.simulate.histories import read_histories
from pipeline.rules.simulate.simulation import Dials, Spread, simulate

_DEFAULT = Dials()


@click.group()
def schedule() -> None:
    """Compare ways to choose the origins of a night."""


@schedule.command("simulate")
@click.option(
    "--pushes",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    required=True,
    help="Lines of a time and a name, as git log --format='%ct NAME %ae' writes them; each name is a history.",
)
@click.option("--origins", type=click.IntRange(1), default=_DEFAULT.origins, show_default=True, help="Of the archive.")
@click.option("--nights", type=click.IntRange(1), default=_DEFAULT.nights, show_default=True, help="That are measured.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    default=_DEFAULT.budget,
    show_default=True,
    help="Visits of a night, as a multiple of the origins that are pushed to in a day.",
)
@click.option(
    "--recall",
    type=click.FloatRange(0, 1),
    default=_DEFAULT.recall,
    show_default=True,
    help="Part of the pushes of which a signal tells.",
)
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True),
    default=_DEFAULT.precision,
    show_default=True,
    help="Part of the signals that tell of a push.",
)
@click.option("--own", is_flag=True, help="Cut each history at the middle of its own time, not all on one day.")
@click.option("--seeds", type=click.IntRange(1), default=10, show_default=True, help="Simulations.")
@command_options
def simulate_(
    context: Context,
    pushes: Path,
    origins: int,
    nights: int,
    budget: float,
    recall: float,
    precision: float,
    own: bool,
    seeds: int,
) -> None:
    """Run the planner and other policies over made-up archives with the pushes of real repositories.

    An origin has the pushes of a name from some day of the later half on. No archive is needed.
    """
    with click.open_file(str(pushes)) as lines:
        histories = read_histories(str(pushes), lines)
    found = simulate(histories, Dials(origins, nights, budget, recall, precision, own), seeds)
    if context.output.result(found):
        return
    context.output.table(
        f"Mean of {seeds} seeds (least to greatest)",
        ["policy", *(title for title, _, _ in _COLUMNS.values())],
        [
            [name, *(_shown(spreads[column], factor, digits) for column, (_, factor, digits) in _COLUMNS.items())]
            for name, spreads in found.items()
        ],
    )


_COLUMNS = {
    "fresh": ("fresh %", 100, 2),
    "mean_age": ("mean age", 1, 3),
    "mean_wait": ("mean wait", 1, 2),
    "p999_wait": ("p99.9 wait", 1, 0),
    "p999_of_all": ("p99.9 of all seeds", 1, 0),
    "beyond_month": ("beyond 30 nights %", 100, 2),
    "within_week": ("within a week %", 100, 1),
    "visits": ("visits", 1, 1),
}
"""Of ``simulate``'s measures: title, factor, digits."""


def _shown(spread: Spread, factor: float, digits: int) -> str:
    mean, least, greatest = (f"{factor * value:.{digits}f}" for value in (spread.mean, spread.least, spread.greatest))
    return mean if least == greatest else f"{mean} ({least} to {greatest})"
