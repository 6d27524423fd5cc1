"""A night of two networks in two buckets that share a file, with what an export must leave out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.night.derive import derive
from pipeline.night.publish import publish
from pipeline.night.seal import seal
from pipeline.read.archive import Archive
from pipeline.read.export.manifest import Manifest
from pipeline.read.export.run_export import run_export
from pipeline.read.export.selection import Selection
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage
from pipeline.tables.create import create_tables
from pipeline.tables.session import open_session
from pipeline.tables.settings import SparkSettings
from pipeline.tables.writer import unleased
from tests.support.near_texts import changed, words
from tests.support.spark import QUICK_SPARK
from tests.tables.conftest import add, night
from tests.tables.landing import BUCKETS, MadeLoad, Tree

FIRST, FORK, SECOND = "https://example.org/alice/first.git", "https://example.org/eve/fork", "https://example.org/b2"
SHARED = b"int shared;\n" * 3
APACHE = Path(__file__).parents[2].joinpath("LICENSE").read_bytes()
PYTHON = b"import os\nprint(os.name)\n"


def near() -> dict[str, dict[str, bytes]]:
    """Texts by origin and path: two families over three origins, and a text that is like no other."""
    chance = random.Random(5)
    one, two, alone = words(chance, 300), words(chance, 300), words(chance, 300)
    return {
        FIRST: {"one.rb": b" ".join(one), "two.rb": b" ".join(changed(two, 1, chance))},
        FORK: {"three.rb": b"\n".join(changed(one, 1, chance))},
        SECOND: {
            "four.rb": b" ".join(changed(one, 1, chance)),
            "five.rb": b"\t".join(changed(two, 1, chance)),
            "six.rb": b" ".join(alone),
            "seven.rb": b" ".join(changed(two, 90, chance)),
        },
    }


NEAR = near()


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="session")
def storage(root: Path) -> Storage:
    return LocalStorage(root)


@pytest.fixture(scope="session")
def sealed(one_spark: None, storage: Storage) -> SparkSession:
    """One sealed night. Whoever changes it puts it back."""
    spark = open_session(SparkSettings(**QUICK_SPARK), storage.root_uri, "tests")
    spark.conf.set("spark.sql.adaptive.enabled", "false")  # to plan each stage anew costs more than such few rows
    create_tables(spark, BUCKETS)
    first, fork, second = add(spark, FIRST, (FORK, FIRST), SECOND)
    load = MadeLoad(storage, night(2), "run2")
    tree: Tree = {
        b"a.py": PYTHON,
        b"latin.py": b"# caf\xe9\n",
        b"logo.png": b"\x89PNG\0\0",
        b"package-lock.json": b"{}\n",
        b"vendor": {b"v.py": b"import vendored\n"},
        b"z.c": SHARED,
        **named(NEAR[FIRST]),
    }
    root = load.commit(first.network, load.tree(first.network, tree))
    load.push(first, root)
    forked: Tree = {**tree, b"COPYING": b"Ask me before you copy this.\n", b"b.py": b"fork = 1\n", **named(NEAR[FORK])}
    load.push(fork, load.commit(first.network, load.tree(first.network, forked), root))
    texts = {b"%d.py" % at: b"x = %d\n" % at * 50 for at in range(20)}
    more: Tree = {b"LICENSE": APACHE, b"lib.c": SHARED, **texts, **named(NEAR[SECOND])}
    load.push(
        second,
        load.commit(second.network, load.tree(second.network, more)),
    )
    publish(unleased(spark), storage, load.load, load.write(), load.run_id)
    derive(unleased(spark), storage, load.load)
    seal(unleased(spark), load.load)
    return spark


def named(texts: dict[str, bytes]) -> Tree:
    return {name.encode(): text for name, text in texts.items()}


SMALL: dict[str, Any] = {"max_bytes": 10_000, "shard_bytes": 11_100}
"""Several shards."""


@dataclass(frozen=True, slots=True)
class Whole:
    """An export of the night with ``SMALL``; nobody changes it."""

    folder: Path
    manifest: Manifest


@pytest.fixture(scope="session")
def whole(sealed: SparkSession, storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole") / "out"
    return Whole(folder, exported(sealed, storage, folder, **SMALL))


def exported(spark: SparkSession, storage: Storage, to: Path, *, replace: bool = False, **options: object) -> Manifest:
    selection = Selection.model_validate(options)
    return run_export(Archive(spark, storage=storage), storage, LocalStorage(to), selection, replace=replace)


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
