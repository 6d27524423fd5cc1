"""What Terraform's scripts do when helm and kubectl answer like this. The same with real ones: test_terraform.py."""

from __future__ import annotations

import os
import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "deploy" / "terraform" / "modules" / "git-lakehouse" / "scripts"
COMMON = {"RELEASE": "lake", "NAMESPACE": "code", "CONTEXT": "west", "TIMEOUT": "5m"}
INSTALL = {**COMMON, "CHART": "chart", "VERSION": "", "VALUES": "", "SECRETS": "", "FINGERPRINT": "f00d"}
UNINSTALL = {**COMMON, "DISPOSABLE": "lake-luigid"}
CLAIM = "kind: PersistentVolumeClaim\n"

Programs = Callable[[str, str], None]


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """Writes what the programs do, in bash; they note how they were called."""

    def write(helm: str, kubectl: str) -> None:
        for name, does in (("helm", helm), ("kubectl", kubectl)):
            path = tmp_path / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f'#!/bin/bash\necho "{name} $*" >>"{tmp_path}/calls"\n{does}\n')
            path.chmod(0o755)

    return write


def run(script: str, tmp_path: Path, variables: dict[str, str]) -> tuple[int, str, str]:
    """Exit code, standard error, and how the programs were called."""
    environment = {**variables, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run([SCRIPTS / script], env=environment, capture_output=True, text=True, check=False)
    calls = tmp_path / "calls"
    return done.returncode, done.stderr, calls.read_text() if calls.exists() else ""


def test_values_reach_helm_in_their_order_and_are_gone_afterwards(tmp_path: Path, programs: Programs) -> None:
    programs(f'for word; do case $word in --values=*) cat "${{word#*=}}" >>"{tmp_path}/values";; esac; done', "exit 1")
    values = " ".join(b64encode(text.encode()).decode() for text in ("a: 1\n", "b: two words\n"))
    code, _, calls = run("install", tmp_path, {**INSTALL, "VALUES": values, "VERSION": "0.1.0"})
    assert code == 0
    assert (tmp_path / "values").read_text() == "a: 1\nb: two words\n"
    (words,) = [call.split() for call in calls.splitlines()]
    files = [word.removeprefix("--values=") for word in words if word.startswith("--values=")]
    assert len(set(files)) == 2
    assert not any(Path(file).exists() for file in files)
    assert words[:4] == ["helm", "upgrade", "lake", "chart"]
    assert " --kube-context west --namespace code --version 0.1.0 " in calls
    assert " --description Terraform f00d " in calls


@pytest.mark.parametrize("there", ["", "keytab.old", "krb5.conf"])
def test_nothing_is_installed_without_its_secrets(tmp_path: Path, programs: Programs, there: str) -> None:
    programs("", f"echo '{there}'")
    code, said, calls = run("install", tmp_path, {**INSTALL, "SECRETS": "hdfs/keytab"})
    assert code == 1
    assert said == "Secret hdfs of namespace code lacks the key keytab: put it there, then apply again\n"
    assert "helm" not in calls


def test_a_cluster_that_does_not_answer_is_not_a_secret_that_is_there(tmp_path: Path, programs: Programs) -> None:
    programs("", "echo keytab; exit 1")
    code, _, calls = run("install", tmp_path, {**INSTALL, "SECRETS": "hdfs/keytab"})
    assert code != 0
    assert "helm" not in calls


@pytest.mark.parametrize(
    ("claims", "deleted"),
    [
        ("lake-luigid", ""),
        ("archive keep", ""),
        ("archive", "archive"),
        ("archive keep\nother-lake-luigid\nsets delete", "other-lake-luigid, sets delete"),
    ],
)
def test_a_claim_is_deleted_only_if_nothing_is_lost(
    tmp_path: Path, programs: Programs, claims: str, deleted: str
) -> None:
    programs(f'case $* in *"get manifest"*) echo "{CLAIM}";; esac', f'echo "{claims}"')
    code, said, calls = run("uninstall", tmp_path, UNINSTALL)
    assert (code != 0) == bool(deleted)
    assert ("helm --kube-context west --namespace code uninstall lake" in calls) == (not deleted)
    assert deleted in said


@pytest.mark.parametrize(
    ("helm", "kubectl"),
    [
        ('case $* in *"get manifest"*) echo "connection refused" >&2; exit 1;; esac', ""),
        (f'case $* in *"get manifest"*) echo "{CLAIM}";; esac', "exit 1"),
    ],
)
def test_what_cannot_be_read_is_not_uninstalled(tmp_path: Path, programs: Programs, helm: str, kubectl: str) -> None:
    programs(helm, kubectl)
    code, _, calls = run("uninstall", tmp_path, UNINSTALL)
    assert code != 0
    assert "uninstall" not in calls


def test_a_release_that_is_not_there_needs_no_uninstalling(tmp_path: Path, programs: Programs) -> None:
    programs('echo "Error: release: not found" >&2; exit 1', "exit 1")
    code, _, calls = run("uninstall", tmp_path, UNINSTALL)
    assert code == 0
    assert "uninstall" not in calls
