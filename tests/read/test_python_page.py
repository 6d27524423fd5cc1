"""The code of docs/python.md, from top to bottom, on a small archive."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.storage.interface import Storage
from pipeline.tables.session import session_conf
from pipeline.tables.settings import SparkSettings
from tests.night.test_nights import two_nights
from tests.read.test_stored_archive import describe
from tests.support.spark import QUICK_SPARK

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)

SCRIPT = """
import sys

from pyspark.sql import SparkSession

import pipeline

session = SparkSession.builder.getOrCreate()
archive = pipeline.open(sys.argv[1], spark=session)
counted = archive.sql("SELECT count(*) AS n FROM commits").collect()[0].n
print("counted", counted, len(archive.pandas("commits")), session.sparkContext.appName)
"""


@pytest.mark.slow
def test_its_code_runs(spark: SparkSession, storage: Storage, spark_root: Path) -> None:
    two_nights(spark, storage)
    describe(storage)
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) > 7
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        code = block.replace('open("archive"', f"open({str(spark_root)!r}")
        exec(compile(code, f"block {number} of {PAGE.name}", "exec"), names)
    assert len(names["changes"]) == 1  # type: ignore[arg-type]
    assert names["patch"].startswith(b"diff --git a/")  # type: ignore[attr-defined]
    assert names["counts"].added.sum() > 0  # type: ignore[attr-defined]
    assert names["lines"].content.tolist() == [b"3"]  # type: ignore[attr-defined]


def test_this_package_is_imported_fast() -> None:
    """Every process imports it, workers too; Spark, Arrow and the rest come when they are used."""
    code = "import sys, pipeline; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"pyspark", "pyarrow", "numpy", "pandas", "pydantic"} & set(re.findall(r"\w+", found.stdout))


@pytest.mark.slow
def test_a_program_of_spark_submit(spark: SparkSession, storage: Storage, spark_root: Path, tmp_path: Path) -> None:
    two_nights(spark, storage)
    describe(storage)
    (tmp_path / "program.py").write_text(SCRIPT)
    conf = session_conf(SparkSettings(**QUICK_SPARK), spark_root.as_uri())
    iceberg = {key: conf[key] for key in ("spark.jars", "spark.jars.packages", "spark.jars.ivy") if key in conf}
    jars = [word for key, value in iceberg.items() for word in ("--conf", f"{key}={value}")]
    words = ["--master", "local[1]", "--name", "mine", *jars, str(tmp_path / "program.py"), str(spark_root)]
    program = Path(sys.executable).with_name("spark-submit")
    with_ours = os.environ | {"PYSPARK_PYTHON": sys.executable}
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=240, env=with_ours)
    assert done.returncode == 0, done.stderr
    assert "counted 2 2 mine" in done.stdout
