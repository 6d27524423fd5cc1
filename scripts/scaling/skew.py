"""A root with many files and forks with a HEAD of their own: nights of real repositories, and limits they must keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.archive import Bed
from benchmarks.measure import MB
from pipeline.model.tables import DERIVED_NAMES
from scaling.family import Family
from scaling.steps import Step, add, exact_night, step
from scaling.watch import pipeline
from scaling.written import Added

MOST_MB = 4_000
MOST_TIMES = 2
LEAST_FORKS = 3
CHANGED = 1
"""The fork that changes for the second night."""


class LimitMissed(Exception):
    """An archive takes more than it may, or shows something else than git does."""


def measure(work: Path, family: Family) -> Iterator[tuple[str, list[Step]]]:
    """Two whole nights, the second with one changed fork, and a look at the files of three forks.

    Raises:
        LimitMissed: after the figures, as ``check``.
    """
    bed = Bed(work / "skew")
    family.make()
    bed.write_config()
    steps = [Step("init", pipeline(bed, "init")), step(bed, "add origins", lambda: add(bed, family.lines()))]
    steps.append(exact_night(bed, 0, family.origins, family.origins, "first night"))
    family.change(CHANGED)
    steps.append(exact_night(bed, 1, 1, family.origins, "a night with a changed fork"))
    steps.append(step(bed, "files of three forks", lambda: pipeline(bed, "sql", _query(family))))
    yield f"a root of {family.files:,} files with {family.forks:,} forks", steps
    check(family, steps)


def check(family: Family, steps: Sequence[Step]) -> None:
    """Check memory of all steps, the rows they wrote, and what the last has shown.

    Rows of distinct trees are the paths of the root and what each fork changed. Rows count that were ever written.

    Raises:
        LimitMissed: a process took too much, a derived table has too many rows, or ``files`` is not as git lists them.
    """
    distinct = family.files + family.forks + 1
    if missed := [*_too_large(steps), *_too_many(steps, distinct), *_unlike_git(family, steps[-1].took.output)]:
        raise LimitMissed("; ".join(missed))


def looked_at(family: Family) -> tuple[int, int, int]:
    """The forks whose files are compared with git's: the first, the one that changed, the last."""
    return 0, CHANGED, family.forks - 1


def _query(family: Family) -> str:
    urls = ", ".join(f"'{family.fork(number)}'" for number in looked_at(family))
    return f"SELECT origin, path, mode, hex(oid) AS oid FROM files WHERE origin IN ({urls})"  # noqa: S608 - ours


def _too_large(steps: Sequence[Step]) -> Iterator[str]:
    for each in steps:
        for kind, peak in each.took.peak_bytes.items():
            if peak >= MOST_MB * MB:
                yield f"{each.name}: a process ({kind}) took {peak / MB:,.0f} MB and must stay below {MOST_MB:,} MB"


def _too_many(steps: Sequence[Step], distinct: int) -> Iterator[str]:
    for table in DERIVED_NAMES:
        rows = sum(each.written.get(table, Added()).rows for each in steps)
        if rows > MOST_TIMES * distinct:
            yield f"{table} got {rows:,} rows, more than {MOST_TIMES} times the {distinct:,} of distinct trees"


def _unlike_git(family: Family, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for number in looked_at(family):
        url = family.fork(number)
        shown = sorted((row["path"], row["mode"], row["oid"].lower()) for row in rows if row["origin"] == url)
        if shown != (listed := family.listed(number)):
            unlike = Counter(shown)
            unlike.subtract(listed)
            first = next(row for row, count in unlike.items() if count)
            yield f"{url}: files has {len(shown):,} rows and git ls-tree {len(listed):,}; one that differs is {first}"
