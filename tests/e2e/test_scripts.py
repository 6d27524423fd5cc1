"""The scripts that newcomers run first."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.archive import PROGRAM
from tests.support.git import git, run_git
from tests.support.nobody import nobody
from tests.support.repos import build_graph
from tests.support.spark import JAVA_OPTIONS

ROOT = Path(__file__).parents[2]
LIMIT_S = 600


def environment_that_is_there(folder: Path) -> Path:
    """This process's environment in the place where scripts look for it, marked as installed so that it stays as is."""
    for name, program in (("python", sys.executable), ("pipeline", PROGRAM)):
        path = folder / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\nexec "{program}" "$@"\n')
        path.chmod(0o755)
    asked = (ROOT / "setup.cfg").read_bytes() + (ROOT / "constraints.txt").read_bytes()
    checksum = subprocess.run(["cksum"], input=asked, capture_output=True, check=True)
    (folder / ".installed").write_text(f"[dev] {checksum.stdout.decode().strip()} {ROOT}")
    return folder


def port_is_closed(url: str) -> bool:
    """Whether nobody serves the URL."""
    return run_git("ls-remote", url).returncode != 0


@pytest.mark.slow
@pytest.mark.spark
def test_the_offline_quickstart(tmp_path: Path) -> None:
    environment = os.environ | {
        "PIPELINE_VENV": str(environment_that_is_there(tmp_path / "venv")),
        "TMPDIR": str(tmp_path),
        "JAVA_TOOL_OPTIONS": JAVA_OPTIONS,
    }
    done = subprocess.run(
        [ROOT / "scripts" / "quickstart", "--offline"],
        capture_output=True, text=True, check=False, timeout=LIMIT_S, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert "2 full" in told
    assert "2 origins added" in told
    assert re.search(r"Python [\d,]+ [\d,]+ 2\b", told), told
    archive = re.search(r"The archive is (\S+)\. Query it", told)
    assert archive is not None
    assert archive[1].startswith(str(tmp_path))
    own, fork = re.findall(r"git://127\.0\.0\.1:\d+/\w+\.git", done.stderr)[:2]
    assert port_is_closed(own)
    queries = re.findall(r'sql --archive \S+ "(.+)"', done.stdout)
    assert len(queries) == 2
    found = subprocess.run(
        [PROGRAM, "sql", queries[0], "--archive", archive[1], "--output", "json"],
        capture_output=True, text=True, check=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert own in found.stdout
    assert fork in found.stdout


def test_the_quickstart_does_not_mix_its_own_repositories_with_yours(tmp_path: Path) -> None:
    for words, says in (
        (("--offline", "https://example.org/a"), "omit the URLs"),
        (("--ofline",), "unknown option --ofline; try --help"),
    ):
        done = subprocess.run(
            [ROOT / "scripts" / "quickstart", *words], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 2
        assert says in done.stderr
    shown = subprocess.run(
        [ROOT / "scripts" / "quickstart", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "scripts/quickstart [--offline] [URL ...]" in shown.stdout


def test_the_demo_serves_a_checkout_and_a_fork_until_it_is_ended(tmp_path: Path) -> None:
    build_graph(tmp_path / "checkout.git", [[1], [2, 1]])
    command = [
        sys.executable,
        str(ROOT / "scripts" / "serve_demo.py"),
        str(tmp_path / "checkout.git"),
        str(tmp_path / "served"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            own, fork = process.stdout.readline().split()
            listed = {url: run_git("ls-remote", url).stdout.decode() for url in (own, fork)}
        finally:
            process.terminate()
        assert process.wait(30) == 0
    head = git(tmp_path / "checkout.git", "rev-parse", "HEAD").decode().strip()
    assert listed[own].startswith(f"{head}\tHEAD\n")
    assert not listed[fork].startswith(head)
    fork_head = listed[fork].split()[0]
    assert git(tmp_path / "served" / "fork.git", "rev-parse", f"{fork_head}^").decode().strip() == head
    assert port_is_closed(own)


@pytest.mark.slow
def test_the_reference_is_built_without_a_warning_and_can_be_searched(tmp_path: Path) -> None:
    folder = tmp_path / "reference"
    environment = os.environ | {"PIPELINE_VENV": str(environment_that_is_there(tmp_path / "venv"))}
    done = subprocess.run(
        [ROOT / "scripts" / "docs", folder],
        capture_output=True, text=True, check=False, timeout=LIMIT_S, env=environment,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, f"Ready: {folder}/index.html\n")
    assert '<input type="search"' in (folder / "index.html").read_text()
    assert '"pipeline.rules.retention.nights_to_drop"' in (folder / "search.js").read_text()
    page = (folder / "pipeline" / "read" / "restore.html").read_text()
    assert '<h6 id="raises">Raises:</h6>' in page
    assert (folder / "jobs" / "language_census.html").exists()


def test_a_closed_port_is_seen_as_closed() -> None:
    with nobody() as peer:
        assert port_is_closed(peer.url("project.git"))
