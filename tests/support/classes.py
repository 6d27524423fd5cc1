"""``python -m tests.support.classes``: make the file of the classes that Spark and Iceberg load, unless it is there."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from pyspark import SparkContext

from pipeline.tables.session import open_session
from pipeline.tables.settings import SparkSettings
from tests.e2e.archive import Archive, Place
from tests.support.repos import build_graph
from tests.support.servers import git_daemon
from tests.support.spark import CLASSES, COMPILE, ICEBERG, QUICK_SPARK, UNCOMPILED, put_on_class_path

MADE_FOR = CLASSES.with_suffix(".txt")


def make(folder: Path) -> None:
    """Run a night and a job; Java writes the classes that it has loaded when it ends."""
    made = folder / CLASSES.name
    options = f'{COMPILE} -Xlog:disable "-XX:ArchiveClassesAtExit={made}"'
    settings = SparkSettings(**QUICK_SPARK | {"java_options": options}, conf=UNCOMPILED)
    spark = open_session(settings, (folder / "none").as_uri(), "classes")
    archive = Archive.at(Place("local", str(folder)), folder / "settings", "archive")
    archive.init()
    (folder / "served").mkdir()
    build_graph(folder / "served" / "a.git", [[1], [2, 1]])
    with git_daemon(folder / "served") as server:
        archive.add(server.url("a.git"))
        archive.nightly(1)
    archive.ask("submit", "language_census")
    archive.sql("SELECT bucket, count(*) FROM contents GROUP BY bucket")
    java = SparkContext._gateway.proc
    spark.stop()
    java.stdin.close()
    java.wait()
    made.replace(CLASSES)


def fetch_iceberg(folder: Path) -> None:
    """Let Spark find Iceberg, which stays where Ivy puts it."""
    open_session(SparkSettings(**QUICK_SPARK), folder.as_uri(), "classes").stop()


if __name__ == "__main__":
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    wanted = f"Spark {version('pyspark')}\n{ICEBERG}\n{java}"
    if not CLASSES.exists() or not MADE_FOR.exists() or MADE_FOR.read_text() != wanted:
        with TemporaryDirectory(dir=CLASSES.parent) as folder:
            if not ICEBERG.exists():
                fetch_iceberg(Path(folder))
                os.execv(sys.executable, [sys.executable, "-m", "tests.support.classes"])
            put_on_class_path()
            make(Path(folder))
        MADE_FOR.write_text(wanted)
