"""The programs that ``scripts/kubernetes`` needs, built once from their published Go modules into the cache folder.

Most of these modules cannot be installed by ``go install``, because their go.mod replaces dependencies. So each is
built from a module of its own, which requires it and has the same replacements; those of Kubernetes, which name folders
that the published module lacks, become the modules published for the same release. Go checks every sum.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import sleep
from typing import Any

from go_command import go
from hadoop_daemons import Failed, cache_folder

KUBERNETES = "v1.35.4"
SCHEMAS = "1.35.0"
"""Release of kubernetes-validate on PyPI, whose schemas kubeconform reads."""

STAMP = "versions.json"
LOOK_AGAIN_S = 1.0
"""How often a process that waits for another one's programs looks whether they are there."""

PAUSE = """package main

import (
	"os"
	"os/signal"
	"syscall"
)

// The first process of a pod: it holds the pod's namespaces and reaps what is left over.
func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}
"""


@dataclasses.dataclass(frozen=True)
class Tool:
    """One program: its name, its module at one version, and the package that is its main."""

    name: str
    module: str
    version: str
    package: str = ""
    version_in: str = ""
    """Package whose variables gitVersion, gitMajor and gitMinor say the version, if there is one."""

    of_the_node: bool = False
    """Needed by the node itself, not only for trying and testing what runs on it."""

    unless_on_path: bool = False
    """Built only if the machine has no program of that name."""

    @property
    def main(self) -> str:
        """Import path of the main package."""
        return f"{self.module}/{self.package}" if self.package else self.module

    @property
    def ldflags(self) -> str:
        """The linker's flags: no symbols, and the version where the program would not know it."""
        values = {}
        if self.version_in:
            major, minor, _ = self.version.removeprefix("v").split(".")
            values = {"gitVersion": self.version, "gitMajor": major, "gitMinor": minor}
        return " ".join(["-s -w", *(f"-X {self.version_in}.{name}={value}" for name, value in values.items())])


def of_kubernetes(name: str, *, unless_on_path: bool = False) -> Tool:
    """A program of Kubernetes itself."""
    version_in = "k8s.io/component-base/version"
    at = f"cmd/{name}"
    return Tool(name, "k8s.io/kubernetes", KUBERNETES, at, version_in, of_the_node=True, unless_on_path=unless_on_path)


TOOLS = (
    of_kubernetes("kubelet"),
    of_kubernetes("kube-apiserver"),
    of_kubernetes("kube-controller-manager"),
    of_kubernetes("kube-scheduler"),
    of_kubernetes("kube-proxy"),
    Tool("etcd", "go.etcd.io/etcd/server/v3", "v3.6.8", of_the_node=True),
    of_kubernetes("kubectl", unless_on_path=True),
    Tool("coredns", "github.com/coredns/coredns", "v1.14.2", of_the_node=True),
    Tool("helm", "helm.sh/helm/v4", "v4.3.1", "cmd/helm"),
    Tool("kubeconform", "github.com/yannh/kubeconform", "v0.8.0", "cmd/kubeconform"),
    Tool("terraform-provider-kubectl", "github.com/gavinbunney/terraform-provider-kubectl", "v1.19.0"),
    Tool("tofu", "github.com/opentofu/opentofu", "v1.12.6", "cmd/tofu"),
)
NODE = ("pause", *(tool.name for tool in TOOLS if tool.of_the_node))
"""What ``start`` builds."""


def cache() -> Path:
    """The folder of the programs and schemas."""
    return cache_folder() / "kubernetes"


def schema_location(folder: Path) -> str:
    """What kubeconform's ``-schema-location`` takes."""
    return f"{folder}/schemas/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"


def wrapper(tool: Tool, of_the_module: dict[str, Any]) -> str:
    """The go.mod from which a program is built.

    Args:
        tool: the program.
        of_the_module: its module's own go.mod, as ``go mod edit -json`` gives it.
    """
    lines = ["module tools", f"go {of_the_module['Go']}"]
    lines += [f"godebug {setting['Key']}={setting['Value']}" for setting in of_the_module.get("Godebug") or ()]
    lines.append(f"require {tool.module} {tool.version}")
    for replace in of_the_module.get("Replace") or ():
        old, new = replace["Old"], replace["New"]
        if new["Path"].startswith("./staging/"):
            new = {"Path": old["Path"], "Version": f"v0.{tool.version.removeprefix('v').partition('.')[2]}"}
        elif new["Path"].startswith("."):
            continue
        name = " ".join([old["Path"], *filter(None, [old.get("Version")])])
        lines.append(f"replace {name} => {new['Path']} {new['Version']}")
    return "\n".join(lines) + "\n"


class Builder:
    """Builds programs into a folder, and knows from its stamp which are there already.

    Args:
        folder: where ``bin``, ``schemas`` and the stamp are.
        caches: where Go's caches are kept; None: below ``folder``, deleted at the end (some 10 GB while all is built).
    """

    def __init__(self, folder: Path, caches: Path | None = None) -> None:
        self.folder = folder
        self.caches = caches or folder / ".go"
        self.keep = caches is not None

    @property
    def stamp(self) -> dict[str, str]:
        """Version by program built."""
        path = self.folder / STAMP
        return json.loads(path.read_text()) if path.exists() else {}

    def note(self, name: str, version: str) -> None:
        """Adds a program to the stamp."""
        path = self.folder / STAMP
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps({**self.stamp, name: version}, indent=2, sort_keys=True) + "\n")
        temporary.replace(path)

    def missing(self, names: Sequence[str] | None = None) -> list[str]:
        """What must be built still, in order, of ``names`` or of all."""
        wanted = {tool.name: tool.version for tool in TOOLS if not (tool.unless_on_path and shutil.which(tool.name))}
        wanted = {"pause": digest(PAUSE), **wanted, "schemas": SCHEMAS}
        stamp = self.stamp
        there = {name for name in wanted if (self.folder / "bin" / name).exists()}
        there |= {"schemas"} if (self.folder / "schemas").is_dir() else set()
        return [
            name
            for name, version in wanted.items()
            if (names is None or name in names) and (name not in there or stamp.get(name) != version)
        ]

    def build(self, names: Sequence[str] | None = None) -> None:
        """Builds what is missing, one after the other. If another process builds, this one waits until that has ended,
        or has built all that is wanted here.
        """
        while self.missing(names):
            (self.folder / "bin").mkdir(parents=True, exist_ok=True)
            with (self.folder / ".lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    sleep(LOOK_AGAIN_S)
                else:
                    self.build_alone(names)
                    return

    def build_alone(self, names: Sequence[str] | None) -> None:
        """Builds what is missing, while nobody else does."""
        todo = self.missing(names)
        if set(todo) - {"schemas"} and not shutil.which("go"):
            raise Failed(f"Go is needed to build {', '.join(todo)}; on Debian or Ubuntu: apt-get install golang")
        for name in todo:
            print(f"building {name} into {self.folder} (once)", file=sys.stderr)
            if name == "schemas":
                self.schemas()
            elif name == "pause":
                self.pause()
            else:
                self.tool(next(tool for tool in TOOLS if tool.name == name))
        if not self.keep:
            shutil.rmtree(self.caches, ignore_errors=True)

    def go(self, *arguments: str, at: Path) -> str:
        """Standard output of a go command."""
        environment = {
            "CGO_ENABLED": "0",
            "GOFLAGS": "-modcacherw -buildvcs=false",
            "GOWORK": "off",
            "GOMODCACHE": str(self.caches / "mod"),
            "GOCACHE": str(self.caches / "build"),
        }
        return go(*arguments, at=at, environment=environment)

    def tool(self, tool: Tool) -> None:
        """Builds one program."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".build-") as temporary:
            work = Path(temporary)
            module = json.loads(self.go("mod", "download", "-json", f"{tool.module}@{tool.version}", at=work))
            own = json.loads(self.go("mod", "edit", "-json", module["GoMod"], at=work))
            (work / "go.mod").write_text(wrapper(tool, own))
            self.go(
                "build", "-mod=mod", "-p=2", "-trimpath", "-ldflags", tool.ldflags, "-o", "built", tool.main, at=work
            )
            (work / "built").replace(self.folder / "bin" / tool.name)
        self.note(tool.name, tool.version)

    def pause(self) -> None:
        """Builds the first process of each pod."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".build-") as temporary:
            work = Path(temporary)
            (work / "main.go").write_text(PAUSE)
            self.go("build", "-trimpath", "-ldflags", "-s -w", "-o", "built", "main.go", at=work)
            (work / "built").replace(self.folder / "bin" / "pause")
        self.note("pause", digest(PAUSE))

    def schemas(self) -> None:
        """Gets the schemas of Kubernetes' kinds, as kubeconform can read them without a network."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".build-") as temporary:
            work = Path(temporary)
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            command += ["--disable-pip-version-check", "--dest", str(work), f"kubernetes-validate=={SCHEMAS}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Failed(f"the schemas could not be had:\n{done.stderr[-3000:]}")
            (work / "schemas").mkdir()
            for name, text in strict_schemas(next(work.glob("*.whl"))):
                (work / "schemas" / name).write_text(text)
            shutil.rmtree(self.folder / "schemas", ignore_errors=True)
            (work / "schemas").rename(self.folder / "schemas")
        self.note("schemas", SCHEMAS)


def strict_schemas(wheel: Path) -> Iterator[tuple[str, str]]:
    """File name and text of each schema in the wheel, with references that are relative to its folder."""
    folder = f"kubernetes_validate/kubernetes-json-schema/v{SCHEMAS}-local-strict/"
    with zipfile.ZipFile(wheel) as files:
        for path in files.namelist():
            if path.startswith(folder) and path.endswith(".json"):
                schema = json.loads(files.read(path))
                schema.pop("$id", None)
                yield (
                    path.removeprefix(folder),
                    re.sub(r'"/api/_definitions\.json#', '"_definitions.json#', json.dumps(schema)),
                )


def digest(text: str) -> str:
    """A short name of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
