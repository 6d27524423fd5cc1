"""What ``scripts/kubernetes`` decides, without a node."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import ipaddress
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import kubernetes_tools
import node_machine
import one_node_kubernetes
from cluster_certificates import Authority
from container_archive import write_archive
from hadoop_daemons import Failed, locked
from kubernetes_tools import TOOLS, Builder, Tool, strict_schemas, wrapper
from node_machine import free_networks, lacking, make_control_group, remove_control_group, taken_networks
from one_node_kubernetes import WAVES, Kubernetes
from tests.support.hdfs import SCRIPTS

KUBELET = next(tool for tool in TOOLS if tool.name == "kubelet")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / "one_node_kubernetes.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_replacement_by_a_folder_of_kubernetes_is_the_published_module() -> None:
    own = {
        "Go": "1.25.0",
        "Godebug": [{"Key": "default", "Value": "go1.25"}],
        "Replace": [
            {"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}},
            {"Old": {"Path": "a.org/b"}, "New": {"Path": "c.org/d", "Version": "v1.0.0"}},
            {"Old": {"Path": "a.org/e", "Version": "v2.0.0"}, "New": {"Path": "c.org/f", "Version": "v3.0.0"}},
            {"Old": {"Path": "a.org/tools"}, "New": {"Path": "./tools"}},
        ],
    }
    assert wrapper(dataclasses.replace(KUBELET, version="v1.35.4"), own).splitlines() == [
        "module tools",
        "go 1.25.0",
        "godebug default=go1.25",
        "require k8s.io/kubernetes v1.35.4",
        "replace k8s.io/api => k8s.io/api v0.35.4",
        "replace a.org/b => c.org/d v1.0.0",
        "replace a.org/e v2.0.0 => c.org/f v3.0.0",
    ]


def test_a_program_of_kubernetes_knows_its_version() -> None:
    flags = dataclasses.replace(KUBELET, version="v1.35.4").ldflags
    assert "version.gitVersion=v1.35.4 " in flags
    assert "gitMajor=1 " in flags
    assert flags.endswith("gitMinor=35")


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    """A cache in which all is built."""
    monkeypatch.setattr(shutil, "which", {"kubectl": "/usr/bin/kubectl"}.get)
    builder = Builder(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "schemas").mkdir()
    versions = {"pause": kubernetes_tools.digest(kubernetes_tools.PAUSE), "schemas": kubernetes_tools.SCHEMAS}
    for name, version in ({tool.name: tool.version for tool in TOOLS if tool.name != "kubectl"} | versions).items():
        builder.note(name, version)
        if name != "schemas":
            (tmp_path / "bin" / name).touch()
    return builder


def test_only_what_is_missing_is_built(builder: Builder) -> None:
    assert builder.missing() == []
    (builder.folder / "bin" / "helm").unlink()
    builder.note("etcd", "v3.0.0")
    assert builder.missing() == ["etcd", "helm"]
    assert builder.missing(["etcd", "kubelet"]) == ["etcd"]


def test_kubectl_is_built_where_there_is_none(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert builder.missing() == ["kubectl"]


def test_without_go_it_says_what_cannot_be_built(builder: Builder) -> None:
    (builder.folder / "bin" / "etcd").unlink()
    with pytest.raises(Failed, match="Go is needed to build etcd"):
        builder.build()


def test_gos_caches_go_unless_they_are_to_be_kept(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    def tool(self: Builder, tool: Tool) -> None:
        (self.caches / "mod").mkdir(parents=True)

    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(Builder, "tool", tool)
    builder.note("etcd", "v3.0.0")
    builder.build(["etcd"])
    assert not builder.caches.exists()
    kept = Builder(builder.folder, builder.folder / "kept")
    kept.build(["etcd"])
    assert kept.caches.exists()


def test_a_waiting_build_stops_waiting_once_its_own_programs_are_there(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one still builds helm."""
    for name in ("etcd", "helm"):
        builder.note(name, "v3.0.0")
    looked: list[float] = []

    def sleep(seconds: float) -> None:
        looked.append(seconds)
        builder.note("etcd", next(tool.version for tool in TOOLS if tool.name == "etcd"))

    monkeypatch.setattr(kubernetes_tools, "sleep", sleep)
    with locked(builder.folder / ".lock"):
        builder.build(["etcd"])
    assert len(looked) == 1
    assert builder.missing() == ["helm"]


def test_schemas_refer_to_their_own_folder(tmp_path: Path) -> None:
    folder = f"kubernetes_validate/kubernetes-json-schema/v{kubernetes_tools.SCHEMAS}-local-strict"
    schema = {"$id": "/api/pod.json", "properties": {"spec": {"$ref": "/api/_definitions.json#/definitions/Spec"}}}
    with zipfile.ZipFile(tmp_path / "wheel.whl", "w") as wheel:
        wheel.writestr(f"{folder}/pod-v1.json", json.dumps(schema))
        wheel.writestr("kubernetes_validate/other/pod-v1.json", "{}")
    ((name, text),) = strict_schemas(tmp_path / "wheel.whl")
    assert name == "pod-v1.json"
    assert json.loads(text) == {"properties": {"spec": {"$ref": "_definitions.json#/definitions/Spec"}}}


def test_routes_of_the_machine_are_taken(tmp_path: Path) -> None:
    header = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
    default, net = (ipaddress.IPv4Network(text) for text in ("0.0.0.0/0", "10.96.0.0/11"))
    rows = ""
    for network in (default, net):
        destination, mask = (
            f"{int.from_bytes(address.packed, sys.byteorder):08X}"
            for address in (network.network_address, network.netmask)
        )
        rows += f"eth0 {destination} 00000000 0001 0 0 0 {mask} 0 0 0\n"
    (tmp_path / "route").write_text(header + rows)
    assert taken_networks(tmp_path / "route") == [net]


def test_networks_overlap_no_route_of_the_machine() -> None:
    taken = [ipaddress.IPv4Network("10.96.0.0/11"), ipaddress.IPv4Network("10.128.0.0/10")]
    for _ in range(100):
        pods, services = free_networks(taken)
        assert not any(network.overlaps(one) for network in (pods, services) for one in taken)
        assert (pods.prefixlen, services.prefixlen, pods.overlaps(services)) == (24, 24, False)


def test_it_says_at_once_all_that_the_machine_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(node_machine, "control_groups", list)
    monkeypatch.setattr(node_machine, "network_plugins", str)
    monkeypatch.setattr(shutil, "which", lambda name, path: None if name == "runc" else f"/bin/{name}")
    root, groups, programs, plugins = lacking()
    assert "it takes root" in root
    assert "memory controller" in groups
    assert programs.startswith("missing: runc (")
    assert "containernetworking-plugins" in plugins


def test_a_control_group_of_cpuset_has_the_processors_of_the_one_above(tmp_path: Path) -> None:
    (tmp_path / "cpuset.cpus").write_text("0-1\n")
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "cpuset.cpus").write_text("\n")
    make_control_group(tmp_path / "node")
    assert (tmp_path / "node" / "cpuset.cpus").read_text() == "0-1\n"


def test_a_control_group_goes_with_those_below(tmp_path: Path) -> None:
    (tmp_path / "node" / "pods" / "one").mkdir(parents=True)
    remove_control_group(tmp_path / "node")
    assert not (tmp_path / "node").exists()
    remove_control_group(tmp_path / "node")


def test_rules_are_of_the_nodes_pods_alone(configured: Kubernetes) -> None:
    for _, _, words in configured.rules():
        assert {str(configured.pods), f"{configured.address}/32"} & set(words)
        assert configured.name in words


def test_an_image_is_what_its_manifest_says(tmp_path: Path) -> None:
    write_archive(tmp_path / "image.tar", "localhost/app:1", {"bin/app": b"#!"}, ["/bin/app"])
    with tarfile.open(tmp_path / "image.tar") as archive:
        files = {entry.name: archive.extractfile(entry).read() for entry in archive}
    ((manifest),) = json.loads(files["manifest.json"])
    assert manifest["RepoTags"] == ["localhost/app:1"]
    config = json.loads(files[manifest["Config"]])
    assert config["config"] == {"Entrypoint": ["/bin/app"], "User": "65534:65534"}
    (layer,) = (files[name] for name in manifest["Layers"])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as inner:
        assert [(entry.name, oct(entry.mode)) for entry in inner] == [("bin/app", "0o755")]


def test_certificates_are_made_once_and_name_user_and_group(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    certificate, key = authority.issue("server", "node", group="nodes", hosts=["IP:10.0.0.1", "DNS:node"])
    before = certificate.read_bytes()
    assert Authority(tmp_path / "certificates").issue("server", "node")[0].read_bytes() == before
    text = subprocess.run(
        ["openssl", "x509", "-in", certificate, "-noout", "-subject", "-ext", "subjectAltName"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "O = nodes, CN = node" in text
    assert "IP Address:10.0.0.1, DNS:node" in text
    assert (authority.folder.stat().st_mode & 0o77, key.stat().st_mode & 0o77) == (0, 0)
    verified = ["openssl", "verify", "-CAfile", str(authority.certificate), str(certificate)]
    assert subprocess.run(verified, capture_output=True, check=False).returncode == 0


def test_a_kubeconfig_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.kubeconfig"
    Authority(tmp_path / "certificates").write_kubeconfig(
        path, "https://10.0.0.1:6443", "admin", group="system:masters"
    )
    assert path.stat().st_mode & 0o77 == 0
    assert json.loads(path.read_text())["clusters"][0]["cluster"]["server"] == "https://10.0.0.1:6443"


@pytest.fixture
def configured(tmp_path: Path) -> Kubernetes:
    cluster = Kubernetes(tmp_path / "node")
    cluster.configure()
    return cluster


def test_only_this_folders_daemons_are_its_own(configured: Kubernetes) -> None:
    for name in configured.classes:
        words = configured.command(name)
        assert configured.recognises(name, words), name
        assert not Kubernetes(configured.root.with_name("nod")).recognises(name, words)
        assert not configured.recognises(name, ["other", *words[1:]])
    assert not configured.recognises("etcd", [])


def test_a_second_start_keeps_addresses_and_ports(configured: Kubernetes) -> None:
    again = Kubernetes(configured.root)
    again.prepare()
    assert again.state == configured.state
    assert [again.command(name) for name in again.classes] == [configured.command(name) for name in configured.classes]


def test_a_node_beside_another_is_refused(configured: Kubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_node_kubernetes, "said", lambda *command: ":KUBE-SERVICES - [0:0]")
    with pytest.raises(Failed, match="rules of another kube-proxy"):
        configured.prepare_kernel()
    assert "kernel" not in configured.state


def test_each_daemon_is_in_one_wave() -> None:
    names = [name for wave in WAVES for name in wave]
    assert len(names) == len(set(names))
    assert {tool.name for tool in TOOLS if tool.of_the_node} - set(names) == {"kubectl"}


def test_the_command_says_that_nothing_runs(tmp_path: Path) -> None:
    folder = str(tmp_path / "node")
    status = run("--dir", folder, "status", "--json")
    assert status.returncode == 3
    assert not any(json.loads(status.stdout)["running"].values())
    load = run("--dir", folder, "load", "image.tar")
    assert load.returncode == 1
    assert "the node does not run" in load.stderr


def test_a_folder_that_it_did_not_make_stays(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "thesis.tex").touch()
    wipe = run("--dir", str(tmp_path / "node"), "wipe")
    assert wipe.returncode == 1
    assert "nothing deleted" in wipe.stderr
    assert (tmp_path / "node" / "thesis.tex").exists()
