"""The command itself."""

from __future__ import annotations

import os
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from click import Context
from click.testing import CliRunner

from pipeline import __version__
from pipeline.cli.main import MODULES, cli

SETUP = Path(__file__).parents[2] / "setup.cfg"


def test_there_is_one_version() -> None:
    setup = ConfigParser(interpolation=None)
    setup.read(SETUP)
    assert setup["metadata"]["version"] == "attr: pipeline.model.version.__version__"
    assert CliRunner().invoke(cli, ["--version"]).output == f"pipeline, version {__version__}\n"


def test_every_command_is_found_by_its_name() -> None:
    context = Context(cli)
    assert {name: cli.get_command(context, name).name for name in cli.list_commands(context)} == {
        name: name for name in MODULES
    }
    said = CliRunner().invoke(cli, ["nightyl"])
    assert (said.exit_code, "No such command" in said.stderr) == (2, True)


def test_a_budget_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    said = CliRunner().invoke(cli, ["compact", "--archive", str(tmp_path), "--budget", "much"])
    assert said.exit_code == 2
    assert "'--budget': 'much' is neither a size like 10GB nor a time like 30m" in said.stderr


@pytest.mark.parametrize("module", ["status", "jobs"])
def test_commands_without_spark_import_none_of_it(module: str) -> None:
    code = f"import sys, pipeline.cli.main, pipeline.cli.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SETUP.parent)
    assert f"pipeline.cli.{module}" in done.stdout.split()
    assert not set(done.stdout.split()) & {"pyspark", "luigi", "dulwich", "hdfs"}


def test_the_shell_completes_commands_and_options() -> None:
    assert completed("pipeline s", 1) == ["schedule", "shell", "sql", "status", "submit"]
    assert completed("pipeline status --ar", 2) == ["--archive"]
    assert completed("pipeline origins op", 2) == ["opt-out"]
    assert completed("pipeline --v", 1) == ["--version"]


def completed(line: str, word: int) -> list[str]:
    """What the instructions of the README make bash ask."""
    asked = os.environ | {"_PIPELINE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(word)}
    program = [Path(sys.executable).with_name("pipeline")]
    done = subprocess.run(program, capture_output=True, text=True, check=True, env=asked, timeout=60)
    return [answer.partition(",")[2] for answer in done.stdout.split()]


def test_a_restore_imports_what_it_needs() -> None:
    code = "import sys, pipeline.cli.main, pipeline.cli.restore; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SETUP.parent)
    imported = set(done.stdout.split())
    assert "pipeline.read.restore" in imported
    assert not imported & {"luigi", "pygments.lexers", "pipeline.workflows", "pipeline.maintain"}
