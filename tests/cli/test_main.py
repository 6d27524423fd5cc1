"""The command itself."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

from click.testing import CliRunner

from pipeline import __version__
from pipeline.cli.main import cli

SETUP = Path(__file__).parents[2] / "setup.cfg"


def test_there_is_one_version() -> None:
    setup = ConfigParser(interpolation=None)
    setup.read(SETUP)
    assert setup["metadata"]["version"] == "attr: pipeline.__version__"
    assert CliRunner().invoke(cli, ["--version"]).output == f"pipeline, version {__version__}\n"
