"""One-node Kubernetes on this machine, for trying the Helm chart and for tests; not for keeping data.

    scripts/kubernetes tools        build the programs into the cache folder (once), start nothing
    scripts/kubernetes start        start the control plane and the node, wait until it is ready, print where it is
    scripts/kubernetes stop         end its pods and what this script started; its objects and images stay
    scripts/kubernetes status       report what runs; exit code 0 if all of it runs, else 3
    scripts/kubernetes wipe         stop and delete the whole folder; the programs stay
    scripts/kubernetes load TAR     bring an image (a docker archive) onto the node
    scripts/kubernetes test [...]   start, then run the tests marked kubernetes; what follows is for pytest

The control plane and the node are the real programs. Pods have addresses of their own, reach each other, services by
name, this machine at the node's address, and the world through it. The node's address is on a bridge of this machine
that has no other port, so no other machine has a way to it. It takes root on Linux, with cgroups. Network policies are
accepted, but nothing enforces them; there is no provisioner of volumes, and one node only.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import kubernetes_tools
from cluster_certificates import Authority
from container_archive import write_archive
from hadoop_daemons import HOST, NOT_RUNNING, STOP_WITHIN_S, Daemons, Failed, free_ports, locked, state_home
from node_machine import (
    FIREWALL,
    KERNEL,
    control_groups,
    free_networks,
    lacking,
    make_control_group,
    mounts_below,
    network_plugins,
    remove_control_group,
    said,
    succeeds,
    taken_networks,
)

NODE = "one-node"
PAUSE_IMAGE = "localhost/pause:1"
WAVES = (
    ("containerd", "etcd"),
    ("kube-apiserver",),
    ("kube-controller-manager", "kube-scheduler", "kubelet"),
    ("kube-proxy", "coredns"),
)
"""What is started together; each wave needs the ones before."""

PORTS = (
    "etcd",
    "etcd_peer",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kubelet_health",
    "kube-proxy",
    "kube-proxy_health",
    "coredns",
    "coredns_health",
)
PODS_END_WITHIN_S = 10.0
DOMAIN = "cluster.local"

CONTAINERD = """version = 2
root = "{root}/containerd"
state = "{root}/run"
[grpc]
  address = "{root}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Not every root may lower it: in a container, that takes CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{root}/conf/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""
COREFILE = """.:{port} {{
    bind {address}
    errors
    health {host}:{health}
    kubernetes {domain} {{
        kubeconfig {root}/conf/coredns.kubeconfig
    }}
    forward . /etc/resolv.conf
    cache 5
    reload
}}
"""


class Kubernetes(Daemons):
    """A control plane and one node."""

    kind = "kubernetes"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.builder = kubernetes_tools.Builder(kubernetes_tools.cache())
        self.classes = {name: self.program(name) for wave in WAVES for name in wave}

    def program(self, name: str) -> str:
        """Path of a program: one that was built, else the machine's."""
        built = self.builder.folder / "bin" / name
        return str(built) if built.exists() else shutil.which(name) or name

    @property
    def conf(self) -> Path:
        """The folder of configuration, with the cluster's secrets in it."""
        return self.root / "conf"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's way in."""
        return self.conf / "admin.kubeconfig"

    @property
    def address(self) -> str:
        """The node's address."""
        return str(self.state["address"])

    @property
    def name(self) -> str:
        """What the bridge and the control group of this folder are called."""
        return f"gl-{hashlib.sha256(str(self.root).encode()).hexdigest()[:8]}"

    def recognises(self, name: str, words: Sequence[str]) -> bool:
        """Whether this is the command line of this folder's daemon."""
        return words[:1] == [self.classes[name]] and any(f"{self.root}/" in word for word in words)

    def environment(self) -> dict[str, str]:
        """The environment of a daemon, in which containerd finds runc and its shim."""
        return os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}

    def require(self) -> None:
        """Says all that this machine lacks, at once."""
        lacks = list(lacking())
        if lacks:
            raise Failed("no node can run here: " + "; ".join(lacks))

    def configure(self) -> None:
        """Chooses ports and addresses, makes certificates and writes the configuration."""
        self.conf.mkdir(parents=True, exist_ok=True)
        for folder in ("logs", "etcd", "kubelet", "conf/cni"):
            (self.root / folder).mkdir(exist_ok=True)
        (self.root / "etcd").chmod(0o700)
        pods, services = free_networks(taken_networks())
        ports = free_ports(PORTS)
        self.state = {
            "address": str(pods[1]),
            "server": f"https://{pods[1]}:{ports['kube-apiserver']}",
            "pod_network": str(pods),
            "service_network": str(services),
            "dns": str(services[10]),
            "ports": ports,
            "pids": {},
        }
        authority = Authority(self.conf / "certificates")
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}"]
        hosts = [*(f"IP:{ip}" for ip in (HOST, self.address, services[1])), *(f"DNS:{n}" for n in names), f"DNS:{NODE}"]
        authority.issue("server", NODE, hosts=hosts)
        authority.issue("apiserver", "kube-apiserver", group="system:masters")
        for name, user, group in (
            ("admin", "admin", "system:masters"),
            ("kubelet", f"system:node:{NODE}", "system:nodes"),
            ("kube-controller-manager", "system:kube-controller-manager", ""),
            ("kube-scheduler", "system:kube-scheduler", ""),
            ("kube-proxy", "system:kube-proxy", ""),
            ("coredns", "system:coredns", ""),
        ):
            authority.write_kubeconfig(self.conf / f"{name}.kubeconfig", self.state["server"], user, group=group)
        accounts = self.conf / "certificates" / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", str(accounts), "2048"], check=True, capture_output=True)
        (self.conf / "kubelet.yaml").write_text(json.dumps(self.kubelet_settings(), indent=2))
        (self.conf / "kube-proxy.yaml").write_text(json.dumps(self.proxy_settings(), indent=2))
        texts = {
            "containerd.toml": CONTAINERD.format(root=self.root, pause=PAUSE_IMAGE, plugins=network_plugins()),
            "Corefile": COREFILE.format(
                root=self.root,
                address=self.address,
                host=HOST,
                port=ports["coredns"],
                health=ports["coredns_health"],
                domain=DOMAIN,
            ),
            "cni/10-pods.conflist": json.dumps(self.network(), indent=2),
        }
        for name, text in texts.items():
            (self.conf / name).write_text(text)
        self.save()

    def network(self) -> dict[str, Any]:
        """How a pod gets its address."""
        ranges = [[{"subnet": self.state["pod_network"], "rangeStart": str(self.pods[10]), "gateway": self.address}]]
        ipam = {"type": "host-local", "dataDir": f"{self.root}/cni", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
        return {"cniVersion": "0.4.0", "name": self.name, "plugins": [{"type": "ptp", "ipam": ipam}]}

    @property
    def pods(self) -> ipaddress.IPv4Network:
        """The pods' network; its first address is the node's."""
        return ipaddress.IPv4Network(self.state["pod_network"])

    def kubelet_settings(self) -> dict[str, Any]:
        """The kubelet's configuration."""
        certificates = self.conf / "certificates"
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.address,
            "port": self.state["ports"]["kubelet"],
            "readOnlyPort": 0,
            "healthzBindAddress": HOST,
            "healthzPort": self.state["ports"]["kubelet_health"],
            "authentication": {
                "anonymous": {"enabled": False},
                "x509": {"clientCAFile": str(certificates / "ca.crt")},
                "webhook": {"enabled": True},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(certificates / "server.crt"),
            "tlsPrivateKeyFile": str(certificates / "server.key"),
            "containerRuntimeEndpoint": f"unix://{self.root}/containerd.sock",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.name}",
            "failCgroupV1": False,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "makeIPTablesUtilChains": False,
            "clusterDomain": DOMAIN,
            "clusterDNS": [self.state["dns"]],
            "podLogsDir": str(self.root / "logs" / "pods"),
            "volumePluginDir": str(self.root / "kubelet" / "volume-plugins"),
            # A laptop's disk is often nearly full, and no image can be pulled again.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
        }

    def proxy_settings(self) -> dict[str, Any]:
        """The configuration of kube-proxy, which gives services their addresses."""
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "hostnameOverride": NODE,
            "clusterCIDR": self.state["pod_network"],
            "clientConnection": {"kubeconfig": f"{self.conf}/kube-proxy.kubeconfig"},
            "metricsBindAddress": f"{HOST}:{self.state['ports']['kube-proxy']}",
            "healthzBindAddress": f"{HOST}:{self.state['ports']['kube-proxy_health']}",
            "iptables": {"localhostNodePorts": False},
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }

    def command(self, name: str, *arguments: str) -> list[str]:
        """The command line of a daemon."""
        return [self.classes[name], *self.arguments(name), *arguments]

    def arguments(self, name: str) -> list[str]:
        """The flags of a daemon."""
        ports, certificates = self.state["ports"], self.conf / "certificates"
        ca, server, server_key = (f"{certificates}/{file}" for file in ("ca.crt", "server.crt", "server.key"))
        etcd = f"https://{HOST}:{ports['etcd']}"
        flags: dict[str, object] = {}
        if name == "containerd":
            flags = {"config": self.conf / "containerd.toml"}
        elif name == "etcd":
            peer = f"http://{HOST}:{ports['etcd_peer']}"
            flags = {"data-dir": self.root / "etcd", "listen-client-urls": etcd, "advertise-client-urls": etcd}
            flags |= {
                "listen-peer-urls": peer,
                "initial-advertise-peer-urls": peer,
                "initial-cluster": f"default={peer}",
            }
            flags |= {"cert-file": server, "key-file": server_key, "trusted-ca-file": ca, "client-cert-auth": "true"}
            flags |= {"unsafe-no-fsync": "true"}  # the page cache survives a killed process
        elif name == "kube-apiserver":
            accounts = f"{certificates}/accounts.key"
            own, own_key = f"{certificates}/apiserver.crt", f"{certificates}/apiserver.key"
            flags = {"bind-address": self.address, "advertise-address": self.address, "secure-port": ports[name]}
            flags |= {"etcd-servers": etcd, "etcd-cafile": ca, "etcd-certfile": own, "etcd-keyfile": own_key}
            flags |= {"tls-cert-file": server, "tls-private-key-file": server_key, "client-ca-file": ca}
            flags |= {"kubelet-certificate-authority": ca, "kubelet-preferred-address-types": "InternalIP"}
            flags |= {"kubelet-client-certificate": own, "kubelet-client-key": own_key}
            flags |= {"service-account-issuer": f"https://kubernetes.default.svc.{DOMAIN}"}
            flags |= {"service-account-key-file": accounts, "service-account-signing-key-file": accounts}
            flags |= {"service-cluster-ip-range": self.state["service_network"], "authorization-mode": "Node,RBAC"}
            flags |= {"enable-admission-plugins": "NodeRestriction", "allow-privileged": "true"}
        elif name == "kube-controller-manager":
            flags = {"kubeconfig": self.conf / f"{name}.kubeconfig", "bind-address": HOST, "secure-port": ports[name]}
            flags |= {"service-account-private-key-file": f"{certificates}/accounts.key", "root-ca-file": ca}
            flags |= {"use-service-account-credentials": "true", "leader-elect": "false"}
        elif name == "kube-scheduler":
            flags = {"kubeconfig": self.conf / f"{name}.kubeconfig", "bind-address": HOST, "secure-port": ports[name]}
            flags |= {"leader-elect": "false"}
        elif name == "kube-proxy":
            flags = {"config": self.conf / "kube-proxy.yaml"}
        elif name == "coredns":
            flags = {"conf": self.conf / "Corefile"}
        elif name == "kubelet":
            flags = {"config": self.conf / "kubelet.yaml", "kubeconfig": self.conf / "kubelet.kubeconfig"}
            flags |= {"root-dir": self.root / "kubelet", "cert-dir": self.root / "kubelet" / "pki"}
            flags |= {"hostname-override": NODE, "node-ip": self.address}
        dash = "-" if name == "coredns" else "--"
        return [f"{dash}{flag}={value}" for flag, value in flags.items()]

    def start(self, names: Sequence[str]) -> None:
        """Starts what does not run, wave by wave, and waits for a ready node; stops it again if that fails."""
        self.require()
        self.builder.build(kubernetes_tools.NODE)
        self.classes = {name: self.program(name) for name in self.classes}
        begun = [name for name in names if not self.alive(name)]
        try:
            self.prepare()
            if "kubelet" in begun:
                self.prepare_kernel()
            for wave in WAVES:
                super().start([name for name in wave if name in names])
        except BaseException:
            self.stop(begun, kill=True)
            raise

    def prepare_kernel(self) -> None:
        """Makes the bridge with the node's address, rules for pods, and their control groups; notes what it changes."""
        if "kernel" not in self.state:
            if "KUBE-SERVICES" in said("iptables-save", "-t", "nat"):
                raise Failed("this machine has rules of another kube-proxy: a second node would break both")
            self.state["firewall_before"] = FIREWALL in said("iptables-save", "-t", "filter")
            self.state["kernel"] = {name: Path("/proc/sys", name).read_text().strip() for name in KERNEL}
            self.save()
        if not Path("/sys/class/net", self.name).exists():
            for words in (
                ("link", "add", self.name, "type", "bridge"),
                ("address", "add", f"{self.address}/32", "dev", self.name),
                ("link", "set", self.name, "up"),
            ):
                said("ip", *words)
        for table, chain, rule in self.rules():
            if not succeeds("iptables", "--wait", "-t", table, "-C", chain, *rule):
                said("iptables", "--wait", "-t", table, "-I", chain, *rule)
        for controller in control_groups():
            make_control_group(controller / self.name)

    def rules(self) -> list[tuple[str, str, list[str]]]:
        """Table, chain and words of what lets pods' packets through, those to the world from the machine's address, and
        keeps other machines out. A later rule of a chain counts before an earlier one.
        """
        network, node = str(self.pods), f"{self.address}/32"
        own = ["-m", "comment", "--comment", self.name]
        answers = ["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED"]
        return [
            ("filter", "FORWARD", ["-d", network, *own, "-j", "DROP"]),
            ("filter", "FORWARD", ["-d", network, *answers, *own, "-j", "ACCEPT"]),
            ("filter", "FORWARD", ["-s", network, *own, "-j", "ACCEPT"]),
            ("filter", "INPUT", ["-d", node, "!", "-s", network, *own, "-j", "DROP"]),
            ("filter", "INPUT", ["-d", node, "-i", "lo", *own, "-j", "ACCEPT"]),
            ("nat", "POSTROUTING", ["-s", network, "!", "-d", network, *own, "-j", "MASQUERADE"]),
        ]

    def checks(self, started: Iterable[str]) -> list[Callable[[], bool]]:
        """What each wave waits for."""
        names = set(started)
        return [
            check
            for name, check in (
                ("containerd", self.containerd_answers),
                ("kubelet", self.pause_image_there),
                ("kube-apiserver", self.apiserver_ready),
                ("coredns", self.names_served),
                ("kubelet", self.node_ready),
                ("kube-controller-manager", self.accounts_made),
            )
            if name in names
        ]

    def containerd_answers(self) -> bool:
        """Containerd answers on its socket."""
        return self.ctr("version").returncode == 0

    def pause_image_there(self) -> bool:
        """The node has the image of each pod's first process."""
        if PAUSE_IMAGE in self.ctr("image", "list", "--quiet").stdout.split():
            return True
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, "pause.tar")
            write_archive(archive, PAUSE_IMAGE, {"pause": Path(self.program("pause")).read_bytes()}, ["/pause"])
            self.load(archive)
        return True

    def apiserver_ready(self) -> bool:
        """The API server is ready, with its own first objects made."""
        return self.kubectl("get", "--raw", "/readyz").returncode == 0

    def names_served(self) -> bool:
        """The service of names is there."""
        applied = self.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(self.service_of_names()))
        return applied.returncode == 0

    def node_ready(self) -> bool:
        """The node is ready for pods."""
        path = '{.status.conditions[?(@.type=="Ready")].status}'
        return self.kubectl("get", "node", NODE, "-o", f"jsonpath={path}").stdout == "True"

    def accounts_made(self) -> bool:
        """The controllers have made what a pod needs in its namespace."""
        return self.kubectl("get", "serviceaccount/default", "configmap/kube-root-ca.crt").returncode == 0

    def service_of_names(self) -> dict[str, Any]:
        """The service through which pods reach CoreDNS, which runs on the machine itself, and its rights."""
        port, labels = self.state["ports"]["coredns"], {"kubernetes.io/service-name": "kube-dns"}
        protocols = ("UDP", "TCP")
        rules = [
            {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ]
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "coredns"}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:coredns"}
        rbac = "rbac.authorization.k8s.io/v1"
        at = {"name": "kube-dns", "namespace": "kube-system"}
        items = [
            {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": "coredns"}, "rules": rules},
            {
                "apiVersion": rbac,
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "coredns"},
                "roleRef": role,
                "subjects": [subject],
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": at,
                "spec": {
                    "clusterIP": self.state["dns"],
                    "ports": [
                        {"name": f"dns-{p.lower()}", "port": 53, "targetPort": port, "protocol": p} for p in protocols
                    ],
                },
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": at | {"labels": labels},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [self.address], "conditions": {"ready": True}}],
                "ports": [{"name": f"dns-{p.lower()}", "port": port, "protocol": p} for p in protocols],
            },
        ]
        return {"apiVersion": "v1", "kind": "List", "items": items}

    def kubectl(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs kubectl as the administrator."""
        command = [self.program("kubectl"), f"--kubeconfig={self.kubeconfig}", "--request-timeout=10s", *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False)

    def ctr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs containerd's own client."""
        command = ["ctr", "--address", f"{self.root}/containerd.sock", "--namespace", "k8s.io", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def load(self, archive: Path) -> str:
        """Brings an image onto the node; returns what containerd says."""
        if not self.alive("containerd"):
            raise Failed("the node does not run: scripts/kubernetes start")
        done = self.ctr("image", "import", str(archive))
        if done.returncode:
            raise Failed(f"{archive} could not be imported: {done.stderr.strip()}")
        return done.stdout.strip()

    def stop(self, names: Sequence[str], *, kill: bool) -> None:
        """Stops daemons; with the kubelet its pods end, and the machine is as before."""
        super().stop(names, kill=kill)
        if "kubelet" in names:
            self.end_pods(kill=kill)
        if "kube-proxy" in names and "kernel" in self.state:  # otherwise the rules are another's
            subprocess.run([self.program("kube-proxy"), "--cleanup"], capture_output=True, check=False)
        if set(names) >= {"kubelet", "containerd"}:
            self.clear_kernel()

    def end_pods(self, *, kill: bool) -> None:
        """Ends the processes of all pods, and the shims that watch them."""
        signals = (signal.SIGKILL,) if kill else (signal.SIGTERM, signal.SIGKILL)
        for number, within in zip(signals, (PODS_END_WITHIN_S, STOP_WITHIN_S)[-len(signals) :], strict=True):
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            until = time.monotonic() + within
            while any(True for _ in self.processes()) and time.monotonic() < until:
                time.sleep(0.1)
        for pid in self.shims():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def processes(self) -> Iterator[int]:
        """The processes in pods."""
        for controller in control_groups():
            for file in (controller / self.name).rglob("cgroup.procs"):
                with contextlib.suppress(OSError):
                    yield from map(int, file.read_text().split())

    def shims(self) -> Iterator[int]:
        """The shims of this node's containerd."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if "shim" in words[0] and f"{self.root}/containerd.sock" in words:
                    yield int(process.name)

    def clear_kernel(self) -> None:
        """Takes the pods' mounts, control groups, network and kernel settings off the machine."""
        for place in sorted(mounts_below(self.root), reverse=True):
            subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)
        if left := mounts_below(self.root):
            raise Failed(f"still mounted, so nothing is deleted: {', '.join(left)}")
        shutil.rmtree(self.root / "cni", ignore_errors=True)
        for controller in control_groups():
            remove_control_group(controller / self.name)
        if Path("/sys/class/net", self.name).exists():
            said("ip", "link", "delete", self.name)
            for table, chain, rule in self.rules():
                succeeds("iptables", "--wait", "-t", table, "-D", chain, *rule)
        if self.state.pop("firewall_before", None) is False:
            for words in (("-D", "INPUT", "-j"), ("-D", "OUTPUT", "-j"), ("-F",), ("-X",)):
                succeeds("iptables", "--wait", *words, FIREWALL)
        for name, value in self.state.pop("kernel", {}).items():
            with contextlib.suppress(OSError):
                Path("/proc/sys", name).write_text(value)
        if self.state:
            self.save()

    def addresses(self) -> str:
        """What a person needs to know of the node."""
        return (
            f"API server: {self.state['server']}\n"
            f"Node:       {NODE}, {self.address}; pods in {self.state['pod_network']}\n"
            f"Programs:   {self.builder.folder}/bin\nexport KUBECONFIG={self.kubeconfig}"
        )


def run(options: argparse.Namespace) -> int:
    """Runs one command; returns its exit code."""
    root = options.dir.resolve()  # as the kernel names mounts
    if options.command == "tools":
        builder = kubernetes_tools.Builder(kubernetes_tools.cache(), options.go_caches)
        builder.build()
        print(f"{builder.folder}/bin")
        return 0
    with locked(root.parent / f".{root.name}.lock"):
        cluster = Kubernetes(root)
        if options.command in ("start", "test"):
            cluster.start(list(cluster.classes))
        elif options.command == "stop":
            cluster.stop(list(cluster.classes), kill=options.kill)
        elif options.command == "wipe":
            cluster.wipe()
            cluster = Kubernetes(root)
        elif options.command == "load":
            print(cluster.load(options.image))
            return 0
        report = cluster.report()
    if options.command == "test":
        return tested(cluster, options.arguments)
    if options.json:
        print(json.dumps(report | {"kubeconfig": str(cluster.kubeconfig)}, sort_keys=True))
    else:
        for name, runs in report["running"].items():
            print(f"{name}: {'running, pid ' + str(report['pids'][name]) if runs else 'not running'}")
        if cluster.state:
            print(cluster.addresses())
    return NOT_RUNNING if options.command == "status" and not all(report["running"].values()) else 0


def tested(cluster: Kubernetes, arguments: Sequence[str]) -> int:
    """Runs the tests that need the node or the programs."""
    cluster.builder.build()
    environment = os.environ | {
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": f"{cluster.builder.folder}/bin:{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "pytest", "-m", "kubernetes", *arguments]
    return subprocess.run(command, cwd=Path(__file__).parents[1], env=environment, check=False).returncode


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/kubernetes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = state_home() / Kubernetes.kind
    parser.add_argument("--dir", type=Path, default=default, help=f"the node's folder (default: {default})")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("start", "stop", "status", "wipe"):
        command = commands.add_parser(name)
        command.add_argument("--json", action="store_true", help="print the state as JSON")
        if name == "stop":
            command.add_argument("--kill", action="store_true", help="stop as in a crash: SIGKILL at once")
    tools = commands.add_parser("tools")
    tools.add_argument("--go-caches", type=Path, metavar="DIR", help="keep Go's caches in DIR (else they are deleted)")
    commands.add_parser("load").add_argument("image", type=Path, metavar="TAR")
    commands.add_parser("test").add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of pytest")
    return parser


def main() -> int:
    """Runs the command line, with failures as a message on standard error and exit code 1."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # which a shell of another user's may lack
    try:
        return run(parser().parse_args())
    except Failed as error:
        print(f"scripts/kubernetes: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
