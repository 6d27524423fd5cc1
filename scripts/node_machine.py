"""What a node of Kubernetes needs of its machine: programs, control groups, free networks, settings of the kernel."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from hadoop_daemons import Failed

OF_THE_SYSTEM = ("containerd", "ctr", "runc", "ip", "iptables", "iptables-save", "openssl", "umount")
CNI_FOLDERS = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
CONTROLLERS = {"cpu", "cpuset", "memory", "hugetlb", "pids"}
"""What a kubelet wants of its control group."""

FIREWALL = "KUBE-FIREWALL"
"""The chain that a kubelet makes, and leaves behind."""

KERNEL = (
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""Settings of the kernel that a kubelet or a network plugin changes; a stop puts them back."""


def said(*command: str) -> str:
    """What a program of the system prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def succeeds(*command: str) -> bool:
    """Whether a program of the system succeeds."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def lacking() -> Iterator[str]:
    """What this machine lacks for a node, each with its mend."""
    if sys.platform != "linux":
        yield "it takes Linux (elsewhere, a virtual machine with Linux)"
        return
    if os.geteuid() != 0:
        yield "it takes root (pods need control groups, mounts and addresses)"
    if not control_groups():
        yield "/sys/fs/cgroup has no memory controller that can be used"
    programs = [name for name in OF_THE_SYSTEM if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
    if programs:
        yield f"missing: {', '.join(programs)} (Debian: containerd, runc, iproute2, iptables, openssl)"
    if not network_plugins():
        yield "missing: the network plugins ptp, host-local, loopback (Debian: containernetworking-plugins)"


def network_plugins() -> str:
    """The folder of the network plugins; empty if there is none."""
    wanted = ("ptp", "host-local", "loopback")
    found = (folder for folder in CNI_FOLDERS if all(Path(folder, name).exists() for name in wanted))
    return next(found, "")


def control_groups() -> list[Path]:
    """The control groups' roots: one if they are unified, else one for each controller; none without one of memory."""
    root = Path("/sys/fs/cgroup")
    unified = root / "cgroup.controllers"
    if unified.exists():
        return [root] if "memory" in unified.read_text().split() else []
    roots = [
        folder for folder in sorted(root.glob("*")) if (folder / "cgroup.procs").exists() and not folder.is_symlink()
    ]
    return roots if root / "memory" in roots else []


def make_control_group(folder: Path) -> None:
    """Makes a control group. One of cpuset takes no process before it has processors: those of the group above."""
    offered = (
        folder.parent / "cgroup.controllers"
    )  # of the unified hierarchy, where a group has what the one above passes on
    for name in CONTROLLERS & set(offered.read_text().split() if offered.exists() else ()):
        with contextlib.suppress(OSError):
            (folder.parent / "cgroup.subtree_control").write_text(f"+{name}")
    folder.mkdir(exist_ok=True)
    for name in ("cpuset.cpus", "cpuset.mems"):
        above = folder.parent / name
        if above.exists() and (folder / name).exists() and not (folder / name).read_text().strip():
            (folder / name).write_text(above.read_text())


def remove_control_group(folder: Path) -> None:
    """Removes a control group and those below, if they have no process; they need not exist."""
    for below in [*sorted((one for one in folder.rglob("*") if one.is_dir()), reverse=True), folder]:
        with contextlib.suppress(OSError):
            below.rmdir()


def mounts_below(root: Path) -> list[str]:
    """The mounts in a folder."""
    places = (line.split()[1].replace("\\040", " ") for line in Path("/proc/self/mounts").read_text().splitlines())
    return [place for place in places if place.startswith(f"{root}/")]


def taken_networks(routes: Path = Path("/proc/net/route")) -> list[ipaddress.IPv4Network]:
    """The networks to which this machine has a route, the default one excepted."""
    fields = [line.split() for line in routes.read_text().splitlines()[1:]] if routes.exists() else []
    pairs = ((address_of(line[1]), address_of(line[7])) for line in fields)
    networks = [ipaddress.IPv4Network((address, str(mask))) for address, mask in pairs]
    return [network for network in networks if network.prefixlen]


def address_of(word: str) -> ipaddress.IPv4Address:
    """The address that the kernel writes as a hexadecimal number in the machine's byte order."""
    return ipaddress.IPv4Address(int(word, 16).to_bytes(4, sys.byteorder))


def free_networks(taken: Iterable[ipaddress.IPv4Network]) -> tuple[ipaddress.IPv4Network, ipaddress.IPv4Network]:
    """Two neighbouring private networks of 254 addresses that overlap none of those taken."""
    known = list(taken)
    while True:
        both = ipaddress.IPv4Network((f"10.{secrets.randbelow(100) + 100}.{secrets.randbelow(128) * 2}.0", 23))
        if not any(both.overlaps(network) for network in known):
            first, second = both.subnets()
            return first, second
