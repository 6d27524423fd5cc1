"""What the chart makes of values: for every example strict schemas, and pods that may do little."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubernetes_tools import cache, schema_location
from pipeline.context.config import Config
from tests.deploy.chart import (
    CHART,
    EXAMPLES,
    ROOT,
    Manifest,
    Refused,
    configuration,
    manifests,
    notes,
    of_kind,
    pods,
    rendered,
)

pytestmark = pytest.mark.kubernetes

ONE_NODE, LARGE, RESEARCH = (
    next(path for path in EXAMPLES if name in path.name) for name in ("one-node", "1000-threads", "research")
)
ALL: dict[str, Any] = {
    "backfill": {
        "enabled": True,
        "args": ["origins", "--from", "/backfill/o.txt"],
        "volume": {"configMap": {"name": "o"}},
    },
    "submit": {"enabled": True, "job": "/jobs/mine.py", "jobsConfigMap": "jobs"},
    "command": {"args": ["upgrade"]},
    "training": {"enabled": True, "image": "training:1", "set": "hdfs://archive/sets/python"},
}
"""Values with which everything that is off by default is made."""

every_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)


@every_example
@pytest.mark.parametrize("more", [None, ALL], ids=["as it is", "with all"])
def test_every_field_is_in_the_schemas(path: Path, more: dict[str, Any] | None) -> None:
    text = rendered(path, values=more)
    executors = [yaml.safe_dump(pod) for name, pod in pods(manifests(path, values=more)) if name == "executor"]
    command = ["kubeconform", "-strict", "-output", "json", "-schema-location", schema_location(cache())]
    done = subprocess.run(
        command, input="\n---\n".join([text, *executors[:1]]), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@every_example
def test_helm_finds_no_fault(path: Path) -> None:
    command = ["helm", "lint", str(CHART), "--namespace", "archive", "--values", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@every_example
def test_pods_may_do_little(path: Path) -> None:
    seen: set[str] = set()
    for component, pod in pods(manifests(path, values=ALL)):
        spec, seen = pod["spec"], seen | {component}
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            if component not in ("executor", "driver"):  # those of these are Spark's
                assert container["resources"]["limits"]["memory"]
        drives = component in {"nightly", "maintain", "backfill", "submit", "command", "init", "driver"}
        assert spec["automountServiceAccountToken"] == drives
        if component not in ("executor", "driver"):
            account = "driver" if drives else "plain"
            assert spec["serviceAccountName"] == f"lake-git-lakehouse-{account}"
    assert seen >= {"backfill", "submit", "command", "training", "test", "executor", "driver"}


def test_a_driver_s_role_is_in_its_namespace_and_names_what_spark_makes() -> None:
    found = manifests(LARGE)
    assert not of_kind(found, "ClusterRole")
    assert not of_kind(found, "ClusterRoleBinding")
    (role,) = of_kind(found, "Role").values()
    resources = {resource for rule in role["rules"] for resource in rule["resources"]}
    assert resources == {"pods", "pods/log", "services", "configmaps", "persistentvolumeclaims"}
    assert "*" not in json.dumps(role["rules"])


def test_with_a_local_master_nobody_may_use_the_api() -> None:
    found = manifests(LARGE, values={"config": {"spark": {"master": "local[4]"}}, "networkPolicy": {"apiServer": []}})
    assert not of_kind(found, "Role")
    assert set(of_kind(found, "ServiceAccount")) == {"plain"}
    assert not any(pod["spec"]["automountServiceAccountToken"] for _, pod in pods(found))


@every_example
def test_pods_read_the_configuration_that_values_have(path: Path) -> None:
    given = yaml.safe_load(path.read_text())["config"]
    found = configuration(manifests(path, values=ALL), "submit")
    loaded = Config.model_validate(found)
    assert loaded.fetch.scratch == Path("/scratch")
    assert loaded.archive == Config.model_validate({"archive": given["archive"]}).archive
    assert loaded.hosts == Config.model_validate({"hosts": given.get("hosts", {})}).hosts
    assert loaded.spark.cluster.model_dump(exclude_none=True) == given["spark"]["cluster"]
    assert loaded.spark.conf["spark.kubernetes.namespace"] == "archive"
    assert given["spark"].get("conf", {}).items() <= loaded.spark.conf.items()


def test_crawl_hosts_are_one_number() -> None:
    found = manifests(LARGE)
    job = of_kind(found, "CronJob")["nightly"]["spec"]["jobTemplate"]["spec"]
    assert (job["completions"], job["parallelism"]) == (4, 4)
    assert configuration(found)["fetch"]["crawl_hosts"] == 4
    with pytest.raises(Refused, match="crawl_hosts is 3"):
        rendered(LARGE, values={"config": {"fetch": {"crawl_hosts": 3}}})


def test_two_nights_never_run_at_once_and_none_for_ever() -> None:
    for name, job in of_kind(manifests(LARGE), "CronJob").items():
        spec = job["spec"]
        assert spec["concurrencyPolicy"] == "Forbid", name
        assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] > 0
        assert spec["startingDeadlineSeconds"] > 0
        assert spec["failedJobsHistoryLimit"] > 0


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"nightl": {}}, "nightl"),
        ({"nightly": {"crawlHost": 2}}, "crawlHost"),
        ({"nightly": {"crawlHosts": 0}}, "crawlHosts"),
        ({"config": {"fetsh": {}}}, "fetsh"),
        ({"config": {"fetch": {"worker": 1}}}, "worker"),
        ({"config": {"fetch": {"workers": 0}}}, "workers"),
        ({"config": {"hosts": {"h.example": {"speed": 1}}}}, "speed"),
        ({"config": {"hdfs": {"token": "t0ken"}}}, "token"),
        ({"config": {"metrics": {"pushgateway": "http://u:p@gateway:9091"}}}, "pushgateway"),
        ({"config": {"spark": {"conf": {"spark.hadoop.fs.s3a.secret.key": "x"}}}}, "fs.s3a.secret.key"),
        ({"secrets": {"environment": [{"name": "A", "value": "x"}]}}, "value"),
        ({"config": {"fetch": {"allowed_networks": ["10.0.0.0/33"]}}}, "allowed_networks"),
        ({"networkPolicy": {"hdfs": [{"ipBlock": {"cidr": "10.20.0.0/33"}}]}}, "networkPolicy"),
        ({"networkPolicy": {"monitoring": [{"podSelectr": {}}]}}, "podSelectr"),
        ({"networkPolicy": {"apiServer": [{"cidr": "10.0.0.1", "port": 443}]}}, "apiServer"),
    ],
)
def test_unknown_keys_wrong_values_and_secrets_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(Refused, match=told) as caught:
        rendered(LARGE, values=values)
    assert "t0ken" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"config": {"archive": {"location": "/data"}}}, "must be hdfs"),
        ({"config": {"spark": {"cluster": {"threads": None}}}}, "threads is missing"),
        ({"networkPolicy": {"hdfs": []}}, "networkPolicy.hdfs is missing"),
        ({"networkPolicy": {"apiServer": []}}, "networkPolicy.apiServer is missing"),
        ({"luigid": {"enabled": False}}, "several crawl hosts need a luigid"),
        ({"training": {"enabled": True, "image": "x:1"}}, "training.set is missing"),
        ({"submit": {"enabled": True}}, "submit.job is missing"),
        ({"backfill": {"enabled": True}}, "backfill.args is missing"),
    ],
)
def test_what_is_missing_is_named(values: dict[str, Any], told: str) -> None:
    with pytest.raises(Refused, match=told):
        rendered(LARGE, values=values)


def secrets_of(pod: Manifest) -> Iterator[str]:
    for container in pod["spec"]["containers"]:
        for variable in container.get("env", ()):
            yield from filter(None, [variable.get("valueFrom", {}).get("secretKeyRef", {}).get("name")])
    for volume in pod["spec"]["volumes"]:
        yield from filter(None, [volume.get("secret", {}).get("secretName")])


def test_only_pods_that_need_a_secret_get_it() -> None:
    hdfs = {"hdfsToken": {"secret": "hdfs"}}
    found = dict(pods(manifests(LARGE, values={**ALL, "secrets": hdfs})))
    for component in ("nightly", "backfill", "command"):
        assert set(secrets_of(found[component])) == {"git-lakehouse-kerberos", "hdfs", "forges", "gitlab"}
    for component in ("maintain", "submit", "training", "executor", "driver"):
        assert set(secrets_of(found[component])) == {"git-lakehouse-kerberos", "hdfs"}
    assert set(secrets_of(found["luigid"])) == set()


def test_spark_uses_the_keytab_that_is_mounted_and_makes_no_secret_of_it() -> None:
    found = manifests(LARGE)
    conf = configuration(found)["spark"]["conf"]
    mounted = {
        mount["mountPath"]
        for component, pod in pods(found)
        if component in ("nightly", "driver")
        for mount in pod["spec"]["containers"][0]["volumeMounts"]
        if mount["name"] == "kerberos"
    }
    assert mounted == {"/secrets/kerberos", "/etc/krb5.conf"}
    assert conf["spark.kerberos.keytab"] == "local:///secrets/kerberos/keytab"
    assert conf["spark.kerberos.access.hadoopFileSystems"] == configuration(found)["archive"]["location"]
    (role,) = of_kind(found, "Role").values()
    assert "secrets" not in [resource for rule in role["rules"] for resource in rule["resources"]]


def test_a_changed_job_is_another_one() -> None:
    first, same, other = (
        set(of_kind(manifests(LARGE, values={"command": {"args": [word]}}), "Job"))
        for word in ("upgrade", "upgrade", "fsck")
    )
    assert first == same
    assert first != other


@pytest.mark.parametrize(
    "values", [{"command": {"args": []}}, ALL | {"training": {**ALL["training"], "script": "own"}}, ALL]
)
def test_the_notes_name_the_jobs_of_the_release(values: dict[str, Any]) -> None:
    told = set(re.findall(r"^Job .* logs --follow job/(\S+)$", notes(LARGE, values=values), re.MULTILINE))
    made = {
        name for name in of_kind(manifests(LARGE, values=values), "Job") if not name.startswith(("init", "command"))
    }
    assert {name.removeprefix("lake-git-lakehouse-") for name in told} == made


@pytest.mark.parametrize("change", [{"nightly": {"crawlHosts": 3}}, {"image": {"tag": "2"}}])
def test_a_job_made_from_its_template_alone_is_the_same(change: dict[str, Any]) -> None:
    """And another one when the release changes, as the page says."""
    submit = {"submit": ALL["submit"]}
    alone = yaml.safe_load(rendered(LARGE, values=submit, only="templates/submit.yaml"))
    assert alone["metadata"]["name"] in rendered(LARGE, values=submit)
    assert alone["metadata"]["name"] not in rendered(LARGE, values=submit | change)


def test_a_running_job_keeps_what_it_reads() -> None:
    """Nothing that a release may change or delete is mounted into its pods, but what values name."""
    for component, pod in pods(manifests(ONE_NODE)):
        if component != "luigid":
            assert [v for v in pod["spec"]["volumes"] if not v.keys() & {"emptyDir", "downwardAPI"}] == []


def test_prometheus_finds_ports_by_their_names() -> None:
    def named(path: Path = LARGE, **values: Any) -> dict[str, dict[str, int]]:
        return {
            name: {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0].get("ports", ())}
            for name, pod in pods(manifests(path, values={**ALL, **values}))
        }

    found = named()
    assert found["nightly"] == found["backfill"] == {"spark-ui": 4040, "metrics": 9470}
    assert found["maintain"] == found["submit"] == {"spark-ui": 4040}
    assert found["executor"] == found["training"] == found["test"] == {}
    spark = {"conf": {"spark.ui.port": "4141"}}
    assert named(config={"spark": spark})["submit"] == {"spark-ui": 4141}
    assert (
        configuration(manifests(LARGE, values={"config": {"spark": spark}}))["spark"]["conf"]["spark.ui.port"] == "4141"
    )
    assert named(ONE_NODE)["nightly"] == {"spark-ui": 4040}
    assert not any(ports for name, ports in named(hostNetwork=True).items() if name != "luigid")
    local = named(config={"spark": {"master": "local[4]"}})
    assert (local["nightly"], local["submit"]) == ({"metrics": 9470}, {})
    (service,) = (one["spec"] for name, one in of_kind(manifests(LARGE), "Service").items() if name == "metrics")
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == found["nightly"]
    assert "metrics" not in of_kind(
        manifests(ONE_NODE, values={"config": {"spark": {"master": "local[2]"}}}), "Service"
    )
    scrapes = yaml.safe_load((ROOT / "deploy" / "monitoring" / "kubernetes.yml").read_text())["scrape_configs"]
    asked = {name for job in scrapes for where in job["dns_sd_configs"] for name in where["names"]}
    assert asked == {f"_{port}._tcp.lake-git-lakehouse-metrics.archive.svc.cluster.local" for port in found["nightly"]}


def test_pods_of_a_training_have_gpus_and_the_script() -> None:
    found = manifests(RESEARCH)
    pod = dict(pods(found))["training"]
    (container,) = pod["spec"]["containers"]
    assert (
        container["resources"]["limits"]["nvidia.com/gpu"] == container["resources"]["requests"]["nvidia.com/gpu"] == 1
    )
    (script,) = (v["configMap"]["name"] for v in pod["spec"]["volumes"] if "configMap" in v and v["name"] == "script")
    scripts = {one["metadata"]["name"]: one["data"] for one in found if one["kind"] == "ConfigMap"}
    compile(scripts[script]["train.py"], "train.py", "exec")
    assert container["args"][:3] == ["python", "/training/train.py", "hdfs://archive/sets/python"]


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ("lake-git-lakehouse-nightly-29869515", "--night 2026-10-16 --budget x"),
        ("by-hand", "--budget x"),
        ("by-hand-1", "--budget x"),
        ("nightly-20261127", "--budget x"),
        ("byhand", "--budget x"),
    ],
)
def test_pods_of_a_job_run_the_night_of_its_time(job: str, words: str, tmp_path: Path) -> None:
    command = of_kind(manifests(LARGE, values={"nightly": {"args": ["--budget", "x"]}}), "CronJob")["nightly"]
    args = command["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]
    program = tmp_path / "pipeline"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o700)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "JOB_NAME": job}
    done = subprocess.run(args, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"nightly {words}\n"
