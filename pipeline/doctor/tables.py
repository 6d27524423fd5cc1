"""What only Spark can tell: the catalogue, and keys that are there twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from pipeline.doctor.finding import Finding, damage, ok, warning
from pipeline.doctor.health import TableProblem
from pipeline.model.layout import newest_possible
from pipeline.tables.doubles import Doubles


def judge_tables(problems: Sequence[TableProblem], nights: Sequence[date], today: date) -> Iterator[Finding]:
    """Tables, their shape and their nights."""
    for problem in problems:
        found = f"{problem.table} {problem.what}"
        if problem.damaged:
            yield damage(
                "tables", found, "look closer with pipeline fsck; what it cannot repair comes back from a copy"
            )
        else:
            yield warning("tables", found, "an unfinished night is completed by the next; else see docs/operations.md")
    future = [night for night in nights if night > newest_possible(today)]
    if future:
        yield damage(
            "nights",
            f"{future[-1]} is sealed and lies after today, {today}: readers take it for the newest",
            "mend it: pipeline doctor --mend",
        )
    if not problems and not future:
        shown = f"{len(nights)} nights, the newest is {nights[-1]}" if nights else "no night yet"
        yield ok("tables", f"all are there, and whole; {shown}")


def judge_doubles(found: Iterable[Doubles]) -> Iterator[Finding]:
    """Keys that are there more than once, by table."""
    none = True
    for doubles in found:
        none = False
        examples = ", ".join(doubles.examples)
        yield damage(
            "doubled keys",
            f"{doubles.table}: {doubles.keys:,} keys have {doubles.surplus:,} rows too many, such as {examples}",
            "mend it: pipeline doctor --mend",
        )
    if none:
        yield ok("doubled keys", "none")


def judge_urls(networks: Sequence[int]) -> Finding:
    """Networks of origins whose URLs may hold a login."""
    if not networks:
        return ok("origins", "no URL that may hold a login")
    shown = ", ".join(map(str, networks[:5]))
    return damage(
        "origins",
        f"{len(networks)} or more URLs may hold a login, such as those of networks {shown}",
        "change that login at its server at once: tables and their snapshots have it, and add the origin without",
    )
