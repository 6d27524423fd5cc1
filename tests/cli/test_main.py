"""The command itself."""

from __future__ import annotations

import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

from click import Context
from click.testing import CliRunner

from pipeline import __version__
from pipeline.cli.main import MODULES, cli

SETUP = Path(__file__).parents[2] / "setup.cfg"


def test_there_is_one_version() -> None:
    setup = ConfigParser(interpolation=None)
    setup.read(SETUP)
    assert setup["metadata"]["version"] == "attr: pipeline.__version__"
    assert CliRunner().invoke(cli, ["--version"]).output == f"pipeline, version {__version__}\n"


def test_every_command_is_found_by_its_name() -> None:
    context = Context(cli)
    assert {name: cli.get_command(context, name).name for name in cli.list_commands(context)} == {
        name: name for name in MODULES
    }
    said = CliRunner().invoke(cli, ["nightyl"])
    assert (said.exit_code, "No such command" in said.stderr) == (2, True)


def test_a_restore_imports_what_it_needs() -> None:
    code = "import sys, pipeline.cli.main, pipeline.cli.restore; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SETUP.parent)
    imported = set(done.stdout.split())
    assert "pipeline.read.restore" in imported
    assert not imported & {"luigi", "pygments.lexers", "pipeline.workflows", "pipeline.maintain", "pipeline.fsck"}
