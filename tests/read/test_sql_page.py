"""docs/sql.md: its blocks run, in order, on a small archive."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.night.derive import derive
from pipeline.night.publish import publish
from pipeline.read.archive import Archive
from pipeline.read.submit.qualified import tables_read
from pipeline.read.submit.read_only import check_read_only
from pipeline.storage.interface import Storage
from pipeline.tables.writer import unleased
from tests.night.test_licence import APACHE
from tests.tables.conftest import add, night
from tests.tables.landing import MadeLoad, Tree

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text()
BLOCKS = re.findall(r"(?ms)^```(\w+)\n(.+?)^```$", PAGE)
PYTHON, README = b"import os\nprint(os)", b"see https://example.org/docs for more\n"


@pytest.fixture
def archive(spark: SparkSession, storage: Storage) -> Archive:
    (origin,) = add(spark, "https://example.org/a")
    load = MadeLoad(storage, night(2))
    first = load.commit(origin.network, load.tree(origin.network, {b"src": {b"a.py": PYTHON}}, at_head=False))
    head: Tree = {
        b"README.md": README,
        b"src": {b"b.py": PYTHON},
        b"LICENSE": APACHE,
        b".mailmap": b"Jo <jo@x> <a@b>\n",
    }
    tree = load.tree(origin.network, head)
    load.push(origin, load.commit(origin.network, tree, first))
    publish(unleased(spark), storage, load.load, load.write(), load.run_id)
    derive(unleased(spark), storage, load.load)
    return Archive(spark, None, storage)


@pytest.mark.slow
def test_every_block_runs(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    answers: list[list[tuple[Any, ...]]] = []
    for language, block in BLOCKS:
        if language == "python":
            exec(block, {"archive": archive})
            continue
        archive.register_views(read=tables_read(check_read_only(archive.spark, block)))
        answers.append([tuple(row) for row in archive.spark.sql(block).collect()])
    python, addresses, entries, own, languages, history, most, word, people, authors, licences = answers
    assert [row[:2] for row in python] == [("src/b.py", 2)]
    assert re.fullmatch("swh:1:cnt:[0-9a-f]{40}", python[0][2])
    assert ("https://example.org/a", "README.md", "https://example.org/docs") in addresses
    assert sorted((mode, name) for _, mode, name, _ in entries) == [
        (0o40000, "src"),
        (0o40000, "src"),
        (0o100644, ".mailmap"),
        (0o100644, "LICENSE"),
        (0o100644, "README.md"),
    ]
    assert own == [("https://example.org/a", "Python", 1, 2)]
    assert authors == [("https://example.org/a", "Jo", "jo@x", 2)]
    assert licences == [("Apache-2.0", 1)]
    assert languages == [(None, 2), ("Markdown", 1), ("Python", 1)]
    assert [row[2:4] for row in history] == [("A", "README.md")]
    assert most == [(path, 1, 1) for path in (".mailmap", "LICENSE", "README.md", "src/a.py", "src/b.py")]
    assert sorted(row[1] for row in word) == ["src/a.py", "src/b.py"]
    assert people == [("https://example.org/a", 2023, 1, 2)]
    assert "|     R|    1|" in capsys.readouterr().out
