"""What ``pipeline forges`` says."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from pipeline.cli.main import cli


def test_without_a_forge_it_says_how_to_add_one(tmp_path: Path) -> None:
    config = tmp_path / "none.toml"
    config.write_text("")
    asked = ["forges", "list", "--config", str(config), "--archive", str(tmp_path / "archive")]
    said = CliRunner().invoke(cli, asked)
    assert (said.exit_code, said.stdout) == (
        0,
        "no forge is configured: add a table [forges.NAME] with its kind and url\n",
    )
    assert json.loads(CliRunner().invoke(cli, [*asked, "--output", "json"]).stdout) == []
    config.write_text('[forges.f]\nkind = "gitea"\nurl = "https://forge.example"\n')
    assert "https://forge.example" in CliRunner().invoke(cli, asked).stdout
