"""Terraform and OpenTofu on a real API server: what they make, what they see of drift, and what destroy leaves."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from one_node_kubernetes import Kubernetes
from tests.support.kubernetes import cluster

__all__ = ["cluster"]
pytestmark = pytest.mark.kubernetes

ROOT = Path(__file__).parents[2]
PROVIDER = "gavinbunney/kubectl/1.19.0/linux_amd64/terraform-provider-kubectl_v1.19.0"
VALUE = "hunter2-0f6d"
"""A secret's value, to look for where it must not be."""

NO_CHANGES, CHANGES = 0, 2
"""Exit codes of ``plan -detailed-exitcode``."""

QUOTA = {"requests.cpu": "4", "requests.memory": "8Gi", "limits.memory": "8Gi", "pods": "20"}
CHART = ROOT / "deploy" / "helm" / "git-lakehouse"
QUIET = {
    "nightly": {"suspend": True, "crawlHosts": 1},
    "maintain": {"suspend": True},
    "luigid": {"enabled": False},
    "init": {"enabled": False},
}
"""Values of the chart with which no pod starts."""


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not there: scripts/kubernetes tools builds what can be built")


@pytest.fixture(scope="module", params=["tofu", "terraform"])
def tool(request: pytest.FixtureRequest) -> str:
    needs(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def mirror(tool: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the program finds the provider without its registry."""
    needs("terraform-provider-kubectl")
    folder = tmp_path_factory.mktemp("mirror")
    asked = subprocess.run(
        [tool, "providers"],
        cwd=ROOT / "deploy/terraform/modules/git-lakehouse",
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (registry,) = set(re.findall(r"provider\[([^/]+)/gavinbunney/", asked.stdout))
    program = folder / registry / PROVIDER
    program.parent.mkdir(parents=True)
    program.symlink_to(str(shutil.which("terraform-provider-kubectl")))
    settings = folder / "settings.tfrc"
    settings.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{folder}"\n  }}\n}}\n')
    return {**os.environ, "TF_CLI_CONFIG_FILE": str(settings), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}


@dataclass(frozen=True)
class Root:
    """A root module in a folder of its own, and the program that runs it."""

    tool: str
    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, fine: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
        command = [self.tool, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode in fine, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def variables(self, **values: Any) -> None:
        (self.folder / "trial.auto.tfvars.json").write_text(json.dumps(values))

    def apply(self, *options: str) -> None:
        self.run("apply", "-auto-approve", "-input=false", "-no-color", *options)

    def fails(self, command: str) -> str:
        """What ``apply`` or ``destroy`` says when it fails."""
        done = self.run(command, "-auto-approve", "-input=false", "-no-color", fine=(1,))
        return done.stdout + done.stderr

    def plan(self, *options: str) -> int:
        """Exit code: are there changes?"""
        done = self.run("plan", "-detailed-exitcode", "-input=false", "-no-color", *options, fine=(NO_CHANGES, CHANGES))
        return done.returncode

    def drift(self) -> tuple[list[str], str]:
        """Options for the plan that heals, and what is different."""
        done = subprocess.run(
            [self.folder / ".." / ".." / "drift.py", self.tool],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split(), done.stderr

    def heal(self) -> str:
        """Finds drift of the release, sees it in the plan, heals it; returns what was different."""
        assert self.plan() == NO_CHANGES, "Terraform alone sees it"
        options, found = self.drift()
        assert options, "nothing was found"
        assert self.plan(*options) == CHANGES
        self.apply(*options)
        assert self.drift() == ([], "")
        assert self.plan() == NO_CHANGES
        return found


@pytest.fixture
def root(tool: str, mirror: dict[str, str], tmp_path: Path) -> Iterator[Callable[[str], Root]]:
    """Makes the root module of a copy, below deploy/terraform; destroyed at the end if it was applied."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    made: list[Root] = []

    def make(path: str) -> Root:
        module = Root(tool, tmp_path / "deploy" / "terraform" / path, mirror)
        module.run("init", "-input=false", "-no-color")
        made.append(module)
        return module

    yield make
    for module in made:
        if (module.folder / "terraform.tfstate").exists():
            module.run("destroy", "-auto-approve", "-input=false", "-no-color", fine=(0, 1))


@pytest.fixture
def namespace(cluster: Kubernetes) -> Iterator[str]:
    """The name of a namespace that is not there yet; deleted at the end."""
    needs("helm", "kubectl")
    name = f"terraform-{uuid4().hex[:8]}"
    yield name
    kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


def kubectl(*arguments: str, stdin: str = "", fine: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(["kubectl", *arguments], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode in fine, done.stderr
    return done.stdout


def helm(*arguments: str) -> str:
    done = subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def get(namespace: str, what: str, path: str) -> str:
    return kubectl("get", "--namespace", namespace, what, "--ignore-not-found", f"--output=jsonpath={path}")


def small_chart(folder: Path, *objects: dict[str, Any]) -> Path:
    """A chart that is nothing but these objects."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": "small", "version": "0.1.0"}))
    (folder / "templates" / "all.yaml").write_text(yaml.safe_dump_all(objects))
    return folder


def claim(name: str, volume: str = "", **annotations: str) -> dict[str, Any]:
    """A claim on a volume, by default on one that is not there."""
    resources = {"requests": {"storage": "1Mi"}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": resources,
            "storageClassName": "",
            "volumeName": volume,
        },
    }


@pytest.fixture
def volumes(namespace: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A volume each for two claims, and for no others: a folder here."""
    names = {claim: f"{namespace}-{claim}" for claim in ("archive", "kept")}
    for claim, name in names.items():
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Mi"},
            "claimRef": {"namespace": namespace, "name": claim},
            "hostPath": {"path": str(tmp_path / name)},
            "persistentVolumeReclaimPolicy": "Retain",
        }
        volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
        kubectl("create", "--filename=-", stdin=yaml.safe_dump(volume))
    yield names
    kubectl("delete", "persistentvolume", *names.values(), "--ignore-not-found", "--wait=false")


def test_files_are_formatted(tool: str) -> None:
    done = subprocess.run(
        [tool, "fmt", "-check", "-recursive"],
        cwd=ROOT / "deploy" / "terraform",
        env=os.environ | {"TF_CLI_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_modules_own_tests_pass(root: Callable[[str], Root]) -> None:
    assert "0 failed" in root("modules/git-lakehouse").run("test", "-no-color").stdout


@pytest.mark.parametrize("path", ["examples/pipeline", "examples/research"])
def test_examples_are_valid(root: Callable[[str], Root], path: str) -> None:
    root(path).run("validate", "-no-color")


def trial(tmp_path: Path, namespace: str, chart: Path, **values: Any) -> dict[str, Any]:
    """Variables of the example of the pipeline cluster for this node."""
    file = tmp_path / "trial.yaml"
    file.write_text(yaml.safe_dump(values))
    classes = {"night": f"{namespace}-night", "waiting": f"{namespace}-waiting"}
    return {
        "namespace": namespace,
        "chart": str(chart),
        "values": [str(file)],
        "secrets": {},
        "quota": QUOTA,
        "priority_classes": classes,
    }


def stopped(name: str) -> dict[str, Any]:
    """A Deployment without a pod."""
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": name, "image": f"localhost/{name}"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def nights(name: str) -> dict[str, Any]:
    """A CronJob whose schedule is a value of the chart."""
    container = {"name": "night", "image": "localhost/night", "resources": {"requests": {"cpu": "1000m"}}}
    pod = {"restartPolicy": "Never", "containers": [container]}
    spec = {"schedule": "{{ .Values.schedule }}", "suspend": True, "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}


def test_what_is_made_is_mended_and_a_claim_outlives_it(
    root: Callable[[str], Root], namespace: str, tmp_path: Path
) -> None:
    chart = small_chart(tmp_path / "small", nights("nightly"), nights("maintain"), stopped("luigid"))
    pipeline = root("examples/pipeline")
    pipeline.variables(**trial(tmp_path, namespace, chart, schedule="15 1 * * *"))
    assert pipeline.plan() == CHANGES
    pipeline.apply()
    assert pipeline.plan() == NO_CHANGES
    assert pipeline.drift() == ([], "")
    assert get(namespace, "resourcequota/git-lakehouse", "{.spec.hard.pods}") == "20"
    assert get(namespace, "limitrange/git-lakehouse", "{.spec.limits[0].default.memory}") == "512Mi"
    assert get(namespace, f"priorityclass/{namespace}-night", "{.value}") == "1000"

    # what Terraform sees by itself: gone, changed
    kubectl("delete", "--namespace", namespace, "resourcequota/git-lakehouse")
    kubectl("delete", f"priorityclass/{namespace}-waiting")
    for what, patch in (
        ("limitrange/git-lakehouse", {"spec": {"limits": [{"type": "Container", "default": {"memory": "9Gi"}}]}}),
        (f"namespace/{namespace}", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
    ):
        kubectl("patch", "--namespace", namespace, what, "--type=merge", f"--patch={json.dumps(patch)}")
    assert pipeline.plan() == CHANGES
    pipeline.apply()
    assert pipeline.plan() == NO_CHANGES
    assert get(namespace, "resourcequota/git-lakehouse", "{.spec.hard.pods}") == "20"
    assert get(namespace, "limitrange/git-lakehouse", "{.spec.limits[0].default.memory}") == "512Mi"
    assert kubectl("get", f"priorityclass/{namespace}-waiting", "--output=jsonpath={.preemptionPolicy}") == "Never"
    enforced = "{.metadata.labels.pod-security\\.kubernetes\\.io/enforce}"
    assert get(namespace, f"namespace/{namespace}", enforced) == "restricted"

    # what it does not see
    later = json.dumps({"spec": {"schedule": "0 5 * * *"}})
    kubectl("patch", "--namespace", namespace, "cronjob/nightly", "--type=merge", f"--patch={later}")
    assert "0 5 * * *" in pipeline.heal()
    assert get(namespace, "cronjob/nightly", "{.spec.schedule}") == "15 1 * * *"
    kubectl("scale", "--namespace", namespace, "deployment/luigid", "--replicas=1")
    assert "replicas: 0" in pipeline.heal()
    kubectl("delete", "--namespace", namespace, "cronjob/maintain")
    assert "maintain" in pipeline.heal()
    helm("upgrade", "git-lakehouse", str(chart), "--namespace", namespace, "--set=schedule=0 6 * * *")
    assert "not Terraform's" in pipeline.heal()
    assert get(namespace, "cronjob/nightly", "{.spec.schedule}") == "15 1 * * *"
    helm("rollback", "git-lakehouse", "--namespace", namespace)
    assert "not Terraform's: Rollback to" in pipeline.heal()
    helm("uninstall", "git-lakehouse", "--namespace", namespace)
    assert "not there" in pipeline.heal()

    # other values are an upgrade
    pipeline.variables(**trial(tmp_path, namespace, chart, schedule="0 2 * * *"))
    assert pipeline.plan() == CHANGES
    pipeline.apply()
    assert get(namespace, "cronjob/nightly", "{.spec.schedule}") == "0 2 * * *"
    assert len(json.loads(helm("history", "git-lakehouse", "--namespace", namespace, "--output=json"))) == 2

    # the end: what is not Terraform's stays, however it got there
    kubectl("apply", "--namespace", namespace, "--filename=-", stdin=yaml.safe_dump(claim("archive")))
    kubectl("create", "secret", "generic", "of-others", "--namespace", namespace, f"--from-literal=key={VALUE}")
    pipeline.run("destroy", "-auto-approve", "-input=false", "-no-color")
    assert helm("list", "--short", "--namespace", namespace) == ""
    assert get(namespace, "cronjob,resourcequota,limitrange", "{.items[*].metadata.name}") == ""
    assert kubectl("get", f"priorityclass/{namespace}-night", "--ignore-not-found") == ""
    assert get(namespace, f"namespace/{namespace}", "{.status.phase}") == "Active"
    assert get(namespace, "persistentvolumeclaim/archive", "{.metadata.deletionTimestamp}{.metadata.name}") == "archive"
    assert get(namespace, "secret/of-others", "{.metadata.name}") == "of-others"

    # and it is there for the next installation
    pipeline.apply()
    assert get(namespace, "persistentvolumeclaim/archive", "{.metadata.name}") == "archive"


def test_destroy_refuses_to_delete_a_claim_that_is_not_kept(
    root: Callable[[str], Root], namespace: str, volumes: dict[str, str], tmp_path: Path
) -> None:
    chart = tmp_path / "small"
    keep = {"helm.sh/resource-policy": "keep"}
    small_chart(chart, claim("archive", volumes["archive"]), claim("kept", volumes["kept"], **keep))
    pipeline = root("examples/pipeline")
    pipeline.variables(**trial(tmp_path, namespace, chart))
    pipeline.apply()

    assert "delete these claims, and what their volumes store: archive" in " ".join(pipeline.fails("destroy").split())
    assert claims(namespace) == "archive:Bound kept:Bound "

    shutil.rmtree(chart)
    small_chart(chart, claim("archive", volumes["archive"], **keep), claim("kept", volumes["kept"], **keep))
    pipeline.apply()
    pipeline.run("destroy", "-auto-approve", "-input=false", "-no-color")
    assert helm("list", "--short", "--namespace", namespace) == ""
    assert claims(namespace) == "archive:Bound kept:Bound "


def claims(namespace: str) -> str:
    """Claims with their phase, or when they were deleted."""
    phase = "{.metadata.name}:{.status.phase}{.metadata.deletionTimestamp} "
    return get(namespace, "persistentvolumeclaim", f"{{range .items[*]}}{phase}{{end}}")


def test_a_release_waits_for_its_secrets_and_nobody_reads_them(
    root: Callable[[str], Root], namespace: str, tmp_path: Path
) -> None:
    pipeline = root("examples/pipeline")
    chart = small_chart(tmp_path / "small", nights("nightly"))
    places = {"secrets": {"git-lakehouse-hdfs": ["keytab", "krb5.conf"]}}
    pipeline.variables(**{**trial(tmp_path, namespace, chart, schedule="0 2 * * *"), **places})
    said = pipeline.fails("apply")
    assert "Secret git-lakehouse-hdfs" in said
    assert "lacks the key keytab" in " ".join(said.split())
    assert helm("list", "--short", "--namespace", namespace) == ""

    (command,) = json.loads(pipeline.run("output", "-json", "secrets").stdout).values()
    for key in ("keytab", "krb5.conf"):
        (tmp_path / key).write_text(VALUE)
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    pipeline.apply()
    assert pipeline.drift() == ([], "")

    state = "".join(path.read_text() for path in pipeline.folder.glob("terraform.tfstate*"))
    assert VALUE not in state
    assert base64.b64encode(VALUE.encode()).decode() not in state
    kubectl("delete", "--namespace", namespace, "secret/git-lakehouse-hdfs")
    options, found = pipeline.drift()
    assert options == ["-replace=module.archive.terraform_data.release"]
    assert "secret git-lakehouse-hdfs lacks the key keytab" in found


def test_the_chart_is_installed_watched_and_removed(
    root: Callable[[str], Root], namespace: str, tmp_path: Path
) -> None:
    pipeline = root("examples/pipeline")
    variables = trial(tmp_path, namespace, CHART, **QUIET)
    variables["values"].insert(0, str(CHART / "examples" / "values-1000-threads.yaml"))
    pipeline.variables(**variables)
    pipeline.apply()
    assert pipeline.plan() == NO_CHANGES
    assert pipeline.drift() == ([], "")
    nightly = "cronjob/git-lakehouse-nightly"
    priority = "{.spec.jobTemplate.spec.template.spec.priorityClassName}"
    assert get(namespace, nightly, priority) == f"{namespace}-night"

    patch = json.dumps({"spec": {"suspend": False}})
    kubectl("patch", "--namespace", namespace, nightly, "--type=merge", f"--patch={patch}")
    assert "suspend: true" in pipeline.heal()
    assert get(namespace, nightly, "{.spec.suspend}") == "true"
    pipeline.run("destroy", "-auto-approve", "-input=false", "-no-color")
    left = get(namespace, "deployment,cronjob,configmap,networkpolicy,role", "{.items[*].metadata.name}")
    assert left == "kube-root-ca.crt"


def test_research_has_gpus_within_its_quota(root: Callable[[str], Root], namespace: str) -> None:
    research = root("examples/research")
    research.variables(namespace=namespace, priority_class=f"{namespace}-training", gpus=2)
    research.apply()
    assert research.plan() == NO_CHANGES
    training = "--selector=app.kubernetes.io/component=training"
    kubectl("wait", "--namespace", namespace, "job", training, "--for=jsonpath={.status.active}=1")
    placed = "{.items[*].spec.priorityClassName} {.items[*].spec.containers[*].resources.limits.nvidia\\.com/gpu}"
    pods = kubectl("get", "--namespace", namespace, "pod", training, f"--output=jsonpath={placed}")
    assert pods == f"{namespace}-training 1"
    used = "{.status.used.requests\\.nvidia\\.com/gpu}"
    kubectl("wait", "--namespace", namespace, "resourcequota/training", f"--for=jsonpath={used}=1")

    container = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    container["seccompProfile"] = {"type": "RuntimeDefault"}
    greedy = {"name": "greedy", "image": "greedy", "securityContext": container}
    greedy["resources"] = {"limits": {"nvidia.com/gpu": "2"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "greedy"}, "spec": {"containers": [greedy]}}
    command = ["kubectl", "create", "--namespace", namespace, "--filename=-"]
    refused = subprocess.run(command, input=json.dumps(pod), capture_output=True, text=True, check=False)
    assert "exceeded quota" in refused.stderr, refused
    research.run("destroy", "-auto-approve", "-input=false", "-no-color")
    assert get(namespace, "job,resourcequota", "{.items[*].metadata.name}") == ""
