"""``python -m tests.support.classes``: make the file of Spark's classes, unless it is there."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from pyspark import SparkContext

from pipeline.tables.create import create_tables
from pipeline.tables.session import open_session
from pipeline.tables.settings import SparkSettings
from tests.support.spark import CLASSES, COMPILE, QUICK_SPARK, UNCOMPILED

MADE_FOR = CLASSES.with_suffix(".txt")


def make(folder: Path) -> None:
    """Java writes the classes that it has loaded when it ends."""
    made = folder / CLASSES.name
    options = f'{COMPILE} -Xlog:disable "-XX:ArchiveClassesAtExit={made}"'
    settings = SparkSettings(**QUICK_SPARK | {"java_options": options}, conf=UNCOMPILED)
    spark = open_session(settings, (folder / "archive").as_uri(), "classes")
    create_tables(spark, 2)
    spark.sql("SELECT bucket, count(*) FROM archive.code.contents GROUP BY bucket").collect()
    java = SparkContext._gateway.proc
    spark.stop()
    java.stdin.close()
    java.wait()
    made.replace(CLASSES)


if __name__ == "__main__":
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    wanted = f"Spark {version('pyspark')}\n{java}"
    if not CLASSES.exists() or not MADE_FOR.exists() or MADE_FOR.read_text() != wanted:
        with TemporaryDirectory(dir=CLASSES.parent) as folder:
            make(Path(folder))
        MADE_FOR.write_text(wanted)
