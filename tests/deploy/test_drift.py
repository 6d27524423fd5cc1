"""What drift.py makes of the answers of tofu, helm and kubectl. What these answer for real: test_terraform.py."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DRIFT = Path(__file__).parents[2] / "deploy" / "terraform" / "drift.py"
RELEASE = {"release": "lake", "namespace": "code", "context": "west", "fingerprint": "f00d", "secrets": ["hdfs/keytab"]}
ADDRESS = 'module.all["west"].module.archive.terraform_data.release'
STATE = {
    "values": {
        "root_module": {
            "resources": [{"type": "kubectl_manifest", "name": "release", "address": "other", "values": {}}],
            "child_modules": [
                {
                    "child_modules": [
                        {
                            "resources": [
                                {
                                    "type": "terraform_data",
                                    "name": "release",
                                    "address": ADDRESS,
                                    "values": {"output": RELEASE},
                                }
                            ]
                        }
                    ]
                }
            ],
        }
    }
}
AS_LEFT = {"revision": 3, "status": "deployed", "description": "Terraform f00d"}

Drift = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def drift(tmp_path: Path) -> Drift:
    """Runs drift.py with programs that give these answers, by their first word that is not an option's value."""

    def run(*, keys: str = "keytab\n", history: Any = AS_LEFT, diff: tuple[int, str] = (0, "")) -> Any:
        answers = {
            "tofu show -json": (0, json.dumps(STATE)),
            "kubectl --context west --namespace code get secret": (0, keys),
            "kubectl --context west --namespace code diff": diff,
            "helm --kube-context west --namespace code list": (0, json.dumps([{"name": "lake"}] if history else [])),
            "helm --kube-context west --namespace code history lake": (0, json.dumps([history])),
            "helm --kube-context west --namespace code get manifest lake": (0, "kind: CronJob\n"),
        }
        for program in ("tofu", "helm", "kubectl"):
            (tmp_path / program).write_text(
                f"#!{sys.executable}\nimport sys\n"
                f"words = ' '.join(['{program}', *sys.argv[1:]])\n"
                f"code, text = next(answer for known, answer in {answers!r}.items() if words.startswith(known))\n"
                "print(text, end='')\nsys.exit(code)\n"
            )
            (tmp_path / program).chmod(0o755)
        command = [sys.executable, str(DRIFT), "tofu"]
        return subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)

    return run


def test_a_release_as_terraform_left_it_is_silent(drift: Drift) -> None:
    done = drift()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"keys": "krb5.conf\n"}, "secret hdfs lacks the key keytab"),
        ({"history": None}, "the release is not there"),
        ({"history": {**AS_LEFT, "status": "failed"}}, "revision 3 is failed"),
        ({"history": {**AS_LEFT, "description": "Rollback to 1"}}, "revision 3 is not Terraform's: Rollback to 1"),
        ({"diff": (1, "-  suspend: true\n")}, "live objects differ"),
    ],
)
def test_each_difference_replaces_the_release(drift: Drift, answers: dict[str, Any], said: str) -> None:
    done = drift(**answers)
    assert (done.returncode, done.stdout) == (0, f"-replace={ADDRESS}\n")
    assert said in done.stderr


def test_a_cluster_that_does_not_answer_is_not_a_release_without_drift(drift: Drift) -> None:
    done = drift(diff=(3, ""))
    assert (done.returncode, done.stdout) == (2, "")
    assert "kubectl" in done.stderr


def test_the_program_that_keeps_the_state_must_be_named() -> None:
    done = subprocess.run([sys.executable, str(DRIFT)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage" in done.stderr
