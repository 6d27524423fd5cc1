"""Writes docs/tables.md: every table and column, from the schemas, and a diagram of what refers to what."""

from __future__ import annotations

from collections.abc import Iterator

from generated import Page
from pipeline.model.listing import LISTINGS
from pipeline.model.tables import BY_NAME, LANDED, ORIGINS, Table, shown_columns, spark_type

TABLES = {**BY_NAME, LISTINGS.name: LISTINGS}

REFERENCES = (
    ("visits", "origins", "origin = url"),
    ("listings", "origins", "url"),
    ("refs", "origins", "origin = url"),
    ("repositories", "origins", "origin = url"),
    ("repositories", "commits", "head_commit = oid"),
    ("files", "repositories", "origin"),
    ("files", "head_blobs", "oid"),
    ("head_blobs", "blobs", "oid"),
    ("contents", "blobs", "oid"),
    ("refs", "commits", "target = oid"),
    ("refs", "tags", "target = oid"),
    ("tags", "commits", "target = oid"),
    ("commits", "commits", "parents contain oid"),
    ("commits", "trees", "tree = oid"),
    ("trees", "trees", "content names oid"),
    ("trees", "blobs", "content names oid"),
)
"""Table that refers, table that is referred to, and the columns that are equal besides ``bucket`` and ``network``."""

KEYS = {
    "origins": ("url",),
    "visits": ("origin", "night"),
    "refs": ("origin", "night", "name"),
    "files": ("origin", "path"),
    "repositories": ("origin",),
    "listings": ("forge", "forge_id"),
}
"""Columns that tell rows of a table apart; those of the others are ``network`` and ``oid``."""


def page_lines() -> Iterator[str]:
    """The generated part of the page."""
    yield from ("## How they refer to each other", "", "```mermaid", "erDiagram")
    for source, target, columns in REFERENCES:
        yield f'    {source} }}o--o| {target} : "{columns}"'
    yield from ("```", "")
    for name in sorted(TABLES):
        yield from _table_lines(TABLES[name])


def _table_lines(table: Table) -> Iterator[str]:
    keys = KEYS.get(table.name, ("network", "oid"))
    made = "`pipeline forges crawl`; it has no nights" if table is LISTINGS else _maker(table)
    yield from (f"## {table.name}", "", f"A row is {table.doc}. Written by {made}. Unique: {', '.join(keys)}.", "")
    yield from ("| column | type | meaning |", "| --- | --- | --- |")
    for column in table.columns:
        if column.name in shown_columns(table):
            yield f"| `{column.name}` | {spark_type(column.type)} | {column.doc} |"
    yield ""


def _maker(table: Table) -> str:
    if table in LANDED:
        return "fetch tasks"
    return "each load" if table is ORIGINS else "each load, from the other tables"


PAGE = Page("docs/tables.md", "scripts/dictionary.py", page_lines)

if __name__ == "__main__":
    PAGE.write()
