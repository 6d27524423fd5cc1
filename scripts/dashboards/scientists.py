"""For those who query the archive: what it holds, how fresh and how complete that is."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards.operators import BYTES, COUNT, NOTHING, SECONDS, SHARE
from dashboards.panels import Limits, Query, add_row, lines, new_dashboard, number, of_archive, ranked
from pipeline.workflows.metrics import known

UID, TITLE = "git-lakehouse-scientists", "git-lakehouse: data"

MILLISECONDS_DATE = "dateTimeAsIso"
OBJECTS = "commits|trees|tags|blobs"


def scientists(other: tuple[str, str]) -> Dashboard:
    """The dashboard.

    Args:
        other: uid and title of the one that it links to.
    """
    made = new_dashboard(UID, TITLE, "What the archive holds, how fresh and how complete it is.", "now-90d", other)
    _newest(made)
    _holds(made)
    _fresh(made)
    _complete(made)
    return made


def _newest(made: Dashboard) -> None:
    fresh, failing, never = map(of_archive, (known.ORIGINS_FRESH, known.ORIGINS_FAILING, known.ORIGINS_NEVER))
    add_row(
        made,
        "The newest night",
        number(
            "Newest night", "What pipeline sql and jobs read unless they name another one.", MILLISECONDS_DATE,
            f"max({of_archive(known.NIGHT_DATE)}) * 1000",
        ),
        number("Nights", "Nights that can be read with --night.", COUNT, f"max({of_archive(known.NIGHTS)})"),
        number("Origins", "Active ones, visited or not.", COUNT, f"sum({fresh}) + max({failing}) + max({never})"),
        number(
            "Repositories", "Origins with a state to read.", COUNT,
            f"max({of_archive(known.TABLE_ROWS, table='repositories')})",
        ),
        number(
            "Commits", "Once per network of forks.", COUNT,
            f"max({of_archive(known.TABLE_ROWS, table='commits')})",
        ),
        number("Size", "Bytes of all tables as files.", BYTES, f"sum({of_archive(known.TABLE_BYTES)})"),
    )  # fmt: skip


def _holds(made: Dashboard) -> None:
    rows, size = of_archive(known.TABLE_ROWS), of_archive(known.TABLE_BYTES)
    add_row(
        made,
        "What it holds",
        lines(
            "Objects", "Rows of the tables of git's objects, once per network.", COUNT,
            Query(f"max by (table) ({of_archive(known.TABLE_ROWS, table=OBJECTS)})", "{{table}}"),
        ),
        lines(
            "New in a night", "Objects that were new to their networks.", COUNT,
            Query(f"max({of_archive(known.NIGHT_OBJECTS)})", "objects"),
        ),
        ranked("Rows", "Of each table now.", COUNT, Query(f"sort_desc(max by (table) ({rows}))", "{{table}}")),
        ranked("Bytes", "Of each table's files now.", BYTES, Query(f"sort_desc(max by (table) ({size}))", "{{table}}")),
        ranked(
            "Bytes a row", "What a scan of all columns costs; contents are compressed most when compacted.", BYTES,
            Query(f"sort_desc(max by (table) ({size} / ({rows} > 0)))", "{{table}}"),
        ),
        lines(
            "New bytes", "Of blobs and trees that a night added, inflated.", BYTES,
            Query(f"max({of_archive(known.NIGHT_RAW)})", "inflated"),
        ),
    )  # fmt: skip


def _fresh(made: Dashboard) -> None:
    fresh, failing, never = map(of_archive, (known.ORIGINS_FRESH, known.ORIGINS_FAILING, known.ORIGINS_NEVER))
    add_row(
        made,
        "How fresh it is",
        lines(
            "Age of what is seen", "Share of active origins by the age of their last good visit, in days.", SHARE,
            Query(f"sum by (days) ({fresh}) / scalar(sum({fresh}) + max({failing}) + max({never}))", "{{days}}"),
            Query(f"max({failing}) / (sum({fresh}) + max({failing}) + max({never}))", "last visit failed"),
            Query(f"max({never}) / (sum({fresh}) + max({failing}) + max({never}))", "never visited"), stacked=True,
        ),
        lines(
            "A night takes", "From its plan to its jobs.", SECONDS,
            Query(f"sum({of_archive(known.NIGHT_STAGES)})", "all stages"),
        ),
    )  # fmt: skip


def _complete(made: Dashboard) -> None:
    add_row(
        made,
        "How complete it is",
        number(
            "Buckets left out", "Buckets that files, head_blobs and repositories do not follow in the newest night.",
            COUNT, f"max({of_archive(known.NIGHT_LEFT_OUT)})", Limits(1, 2),
        ),
        number(
            "Damaged files", "Files that the newest night could not read.", COUNT,
            f"max({of_archive(known.NIGHT_DAMAGED)})", Limits(1, 2),
        ),
        number(
            "Partial visits", "Origins of which the newest night keeps a part, say without very large blobs.", COUNT,
            f"max({of_archive(known.NIGHT_VISITS, status='partial')})",
        ),
        ranked(
            "Why visits did not end well", "Error codes of the newest night; docs/operations.md says what each means.",
            COUNT, Query(f"topk(20, sum by (code) ({of_archive(known.NIGHT_ERRORS)}))", "{{code}}"),
        ),
        ranked(
            "Whom that was about", "Share of the newest night's visits to a host that brought nothing.",
            SHARE,
            Query(
                f"topk(10, sum by (host) ({of_archive(known.NIGHT_HOSTS, status=NOTHING)})"
                f" / sum by (host) ({of_archive(known.NIGHT_HOSTS)}))",
                "{{host}}",
            ),
        ),
    )  # fmt: skip
