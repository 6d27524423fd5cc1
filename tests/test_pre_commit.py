"""What a developer's commit meets first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.git import git, run_git

ROOT = Path(__file__).parents[1]


def test_a_commit_with_a_fault_is_refused_and_its_format_mended(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    run_git("init", "--quiet", repo)
    (repo / ".venv").symlink_to(sys.prefix)
    (repo / ".pre-commit-config.yaml").write_bytes((ROOT / ".pre-commit-config.yaml").read_bytes())
    (repo / "setup.cfg").write_text("[mypy]\nfiles = bad.py\n")
    (repo / "bad.py").write_text('import os\n\nx: int =  "one"\n')
    git(repo, "add", ".")
    done = subprocess.run(
        [Path(sys.prefix, "bin", "pre-commit"), "run"],
        cwd=repo, env=os.environ | {"PRE_COMMIT_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    assert "`os` imported but unused" in done.stdout
    assert "Incompatible types in assignment" in done.stdout
    assert (repo / "bad.py").read_text() == 'import os\n\nx: int = "one"\n'
