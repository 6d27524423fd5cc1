"""What the image is made of, and what a container of it runs. Nothing is built."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pipeline.tables.settings import ICEBERG

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "deploy/image"
JAVA = {
    "SPARK_HOME": "/opt/spark", "SPARK_DRIVER_URL": "spark://d", "SPARK_EXECUTOR_ID": "3", "SPARK_EXECUTOR_CORES": "2",
    "SPARK_EXECUTOR_MEMORY": "1g", "SPARK_APPLICATION_ID": "spark-1", "SPARK_EXECUTOR_POD_IP": "10.0.0.3",
    "SPARK_EXECUTOR_POD_NAME": "e-3", "SPARK_RESOURCE_PROFILE_ID": "0",
}  # fmt: skip


def test_the_jar_is_the_one_that_sessions_use() -> None:
    _, artifact, version = ICEBERG.split(":")
    listed = [line.split()[1] for line in (IMAGE / "jars.sha256").read_text().splitlines()]
    assert f"{artifact}-{version}.jar" in listed


def ran(tmp_path: Path, *arguments: str, **environment: str) -> list[str]:
    """What the entrypoint ran in the place of programs: its name, its folder and its arguments."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("spark-submit", "java", "pipeline"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$PWD" "$@"\n')
        program.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    command: list[str | Path] = [IMAGE / "entrypoint", *arguments]
    done = subprocess.run(
        command, env={"PATH": path, **environment}, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


def test_a_command_runs_as_it_is(tmp_path: Path) -> None:
    assert ran(tmp_path, "pipeline", "sql", "SELECT 1") == ["pipeline", str(tmp_path), "sql", "SELECT 1"]


def test_a_driver_is_submitted_where_it_may_write(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    local = str(tmp_path / "local")
    given = {"SPARK_LOCAL_DIRS": f"{local},/other", "SPARK_DRIVER_BIND_ADDRESS": "10.0.0.2"}
    name, folder, *words = ran(tmp_path, "driver", "--class", "PythonRunner", "job.py", "a b", **given)
    assert (name, folder) == ("spark-submit", local)
    assert words[:4] == ["--deploy-mode", "client", "--conf", "spark.driver.bindAddress=10.0.0.2"]
    assert words[-4:] == ["--class", "PythonRunner", "job.py", "a b"]


def test_an_executor_gets_all_options_in_their_order(tmp_path: Path) -> None:
    options = {f"SPARK_JAVA_OPT_{number}": f"-Dx{number}=a b" for number in range(12)}
    name, _, *words = ran(tmp_path, "executor", **JAVA, **options, SPARK_LOCAL_DIRS=str(tmp_path), HADOOP_CONF_DIR="/h")
    assert name == "java"
    assert words[:12] == [f"-Dx{number}=a b" for number in range(12)]
    assert words[words.index("-cp") + 1] == f"/h:/opt/spark/jars/*:{tmp_path}"
    assert words[words.index("--executor-id") + 1] == "3"
    assert words[words.index("--hostname") + 1] == "10.0.0.3"


def test_a_wrong_option_of_the_script_is_told() -> None:
    done = subprocess.run([ROOT / "scripts/image", "--push"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (2, "usage: scripts/image [--base IMAGE]\n")
