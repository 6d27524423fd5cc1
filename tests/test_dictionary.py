"""The page of tables is what the schemas say."""

from __future__ import annotations

import dictionary


def test_the_page_is_up_to_date() -> None:
    assert dictionary.PAGE.made_anew() == dictionary.PAGE.text, "run scripts/dictionary.py"


def test_references_and_keys_name_tables_and_columns() -> None:
    assert {
        name for source, target, _ in dictionary.REFERENCES for name in (source, target)
    } == dictionary.TABLES.keys()
    lost = [
        (table, column)
        for table, columns in dictionary.KEYS.items()
        for column in columns
        if column not in dictionary.TABLES[table].column_names
    ]
    assert lost == []
    without = [
        t.name for t in dictionary.TABLES.values() if t.name not in dictionary.KEYS and "oid" not in t.column_names
    ]
    assert without == []
