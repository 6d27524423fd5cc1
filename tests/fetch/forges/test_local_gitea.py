"""``scripts/gitea`` builds its program once, as a whole or not at all; the Go here is a shell script."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import local_gitea
from hadoop_daemons import Failed
from local_gitea import SHIPPED, build, missing, program

GO = """#!/bin/sh
echo "$@" >> "{root}/asked"
if [ "$1" = mod ]; then cat "{root}/module.json"; exit; fi
[ -w main.go ] && [ "$CGO_ENABLED" = 1 ] && [ ! -e "{root}/broken" ] || {{ echo "main.go:1: broken" >&2; exit 1; }}
while [ "$1" != -o ]; do shift; done
echo program > "$2"
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go whose module cache cannot be written to; returns the folder of what it was asked."""
    source = tmp_path / "module"
    for name in SHIPPED:
        (source / name).mkdir(parents=True)
        (source / name / "file").write_text(name)
    (source / "main.go").write_text("package main")
    (source / "main.go").chmod(0o444)
    (source / "templates").chmod(0o555)
    (tmp_path / "module.json").write_text(json.dumps({"Dir": str(source)}))
    (tmp_path / "bin").mkdir()
    for name in ("go", "gcc"):
        (tmp_path / "bin" / name).write_text(GO.format(root=tmp_path))
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_it_is_built_once_with_what_it_reads(go: Path) -> None:
    assert missing() == ""
    folder = build()
    assert folder == program()
    assert sorted(path.name for path in folder.iterdir()) == ["gitea", *SHIPPED]
    assert (folder / "templates" / "file").read_text() == "templates"
    assert (folder / "templates").stat().st_mode & 0o200
    asked = (go / "asked").read_text()
    assert "mod download -json code.gitea.io/gitea@v1." in asked
    assert "-tags sqlite sqlite_unlock_notify" in asked
    assert build() == folder
    assert (go / "asked").read_text() == asked


def test_a_build_that_fails_leaves_nothing_and_can_be_repeated(go: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (go / "broken").touch()
    with pytest.raises(Failed, match=r"main.go:1: broken"):
        build()
    assert not program().exists()
    assert [path for path in program().parent.iterdir() if path.is_dir()] == []
    (go / "broken").unlink()
    assert (build() / "gitea").exists()
    monkeypatch.setattr(local_gitea, "VERSION", "v9.0.0")
    monkeypatch.setenv("PATH", "/nowhere")
    assert "go and gcc" in missing()
    with pytest.raises(Failed, match="needed to build Gitea"):
        build()
