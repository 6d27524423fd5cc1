"""The tables of ``docs/BENCHMARKS.md``: targets first, then the figures behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.results import Figure, Part, Table
from benchmarks.targets import TARGETS, Target

BEGIN, END = "<!-- scripts/bench writes from here -->", "<!-- to here -->"
TARGET_COLUMNS = ("what", "must", "aim", "measured", "verdict")


def fill(path: Path, parts: Mapping[str, Part]) -> None:
    """Replace the text between the two marks of a document, or begin one."""
    text = path.read_text() if path.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before}{BEGIN}\n\n{markdown(parts)}\n{END}{after}")


def markdown(parts: Mapping[str, Part]) -> str:
    """All findings."""
    sections = ["## Targets", _markdown_table(TARGET_COLUMNS, target_rows(parts)), "## Figures behind them"]
    for name, part in parts.items():
        for table in part.found.tables:
            sections += [f"### {table.title}", _markdown_table(table.columns, cells(table))]
        where = ", ".join(f"{key} {value}" for key, value in part.where.items())
        sections.append(f"Part `{name}`: {where}.")
    return "\n\n".join(sections) + "\n"


def target_rows(parts: Mapping[str, Part]) -> list[tuple[str, ...]]:
    """One row per target, in order; the worst figure decides."""
    figures = [figure for part in parts.values() for figure in part.found.figures]
    return [
        (f"{target.what} ({target.unit})", number(target.must), number(target.aim), *_measured(name, target, figures))
        for name, target in TARGETS.items()
    ]


def cells(table: Table) -> list[tuple[str, ...]]:
    """A table's rows as text."""
    return [tuple(number(cell) if isinstance(cell, int | float) else str(cell) for cell in row) for row in table.rows]


def number(value: float) -> str:
    """A number with three significant digits."""
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _measured(name: str, target: Target, figures: Sequence[Figure]) -> tuple[str, str]:
    mine = [figure for figure in figures if figure.target == name]
    if not mine:
        return "not measured", ""
    shown = "; ".join(f"{figure.of} **{number(figure.value)}**" + _in_brackets(figure.how) for figure in mine)
    return shown, target.verdict(target.worst([figure.value for figure in mine]))


def _in_brackets(how: str) -> str:
    return f" ({how})" if how else ""


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(_lines(columns, rows))


def _lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"| {' | '.join('---' for _ in columns)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
