"""Judges what the checks that need Spark have found: tables, duplicate keys, URLs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from pipeline.maintain.doctor.finding import Finding, damage, ok, warning
from pipeline.maintain.doctor.table_problems import TableProblem
from pipeline.model.layout import newest_possible
from pipeline.tables.doubles import Doubles


def judge_tables(problems: Sequence[TableProblem], nights: Sequence[date], today: date) -> Iterator[Finding]:
    """Judge tables, their shape and their nights."""
    for problem in problems:
        found = f"{problem.table} {problem.what}"
        if problem.damaged:
            yield damage("tables", found, "run pipeline fsck; restore what it cannot repair from a copy")
        else:
            yield warning("tables", found, "the next night completes an unfinished one; else see docs/operations.md")
    future = [night for night in nights if night > newest_possible(today)]
    if future:
        yield damage(
            "nights",
            f"{future[-1]} is sealed and after today, {today}: readers take it for the newest",
            "run pipeline doctor --mend",
        )
    if not problems and not future:
        shown = f"{len(nights)} nights, the newest is {nights[-1]}" if nights else "no night yet"
        yield ok("tables", f"all exist and are complete; {shown}")


def judge_doubles(found: Iterable[Doubles]) -> Iterator[Finding]:
    """Judge duplicate keys, by table."""
    none = True
    for doubles in found:
        none = False
        examples = ", ".join(doubles.examples)
        yield damage(
            "duplicate keys",
            f"{doubles.table}: {doubles.keys:,} keys have {doubles.surplus:,} surplus rows, such as {examples}",
            "run pipeline doctor --mend",
        )
    if none:
        yield ok("duplicate keys", "none")


def judge_urls(networks: Sequence[int]) -> Finding:
    """Judge the networks of origins whose URLs may contain a login."""
    if not networks:
        return ok("origins", "no URL seems to contain a login")
    shown = ", ".join(map(str, networks[:5]))
    return damage(
        "origins",
        f"{len(networks)} or more URLs may contain a login, such as those of networks {shown}",
        "change that login at its server at once, as tables and their snapshots have it; add the origin without it",
    )
