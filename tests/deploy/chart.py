"""The chart, rendered by helm."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "git-lakehouse"
EXAMPLES = sorted((CHART / "examples").glob("values-*.yaml"))
NAMESPACE = "archive"

Manifest = dict[str, Any]


class Refused(Exception):
    """Helm does not render it; the message is its own."""


def rendered(*files: Path, values: Mapping[str, Any] | None = None, namespace: str = NAMESPACE, only: str = "") -> str:
    """Manifests as text, of a release ``lake`` with these files of values, and then these.

    Args:
        only: the template whose manifests are wanted; default: all.

    Raises:
        Refused: helm does not.
    """
    command = ["helm", "template", "lake", str(CHART), "--namespace", namespace, "--kube-version", "1.35.0"]
    if only:
        command += ["--show-only", only]
    return _said(command, files, values)


def notes(*files: Path, values: Mapping[str, Any] | None = None) -> str:
    """What helm says after it has installed such a release."""
    command = ["helm", "install", "lake", str(CHART), "--namespace", NAMESPACE, "--dry-run=client"]
    return _said(command, files, values).partition("\nNOTES:\n")[2]


def _said(command: list[str], files: Iterable[Path], values: Mapping[str, Any] | None) -> str:
    for file in files:
        command += ["--values", str(file)]
    if values is not None:
        command += ["--values", "-"]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def manifests(*files: Path, values: Mapping[str, Any] | None = None) -> list[Manifest]:
    """The same, parsed."""
    return [found for found in yaml.safe_load_all(rendered(*files, values=values)) if found]


def of_kind(found: Iterable[Manifest], kind: str) -> dict[str, Manifest]:
    """Those of a kind, by name without the release's."""
    return {one["metadata"]["name"].removeprefix("lake-git-lakehouse-"): one for one in found if one["kind"] == kind}


def pods(found: Iterable[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Templates of all pods, executors too, each with its component."""
    for one in found:
        spec = one.get("spec", {})
        template = {
            "Pod": lambda one=one: one,
            "Job": lambda spec=spec: spec["template"],
            "Deployment": lambda spec=spec: spec["template"],
            "CronJob": lambda spec=spec: spec["jobTemplate"]["spec"]["template"],
        }.get(one["kind"])
        if template is None:
            continue
        pod = template()
        yield pod["metadata"]["labels"]["app.kubernetes.io/component"], pod
        for of_spark in ("executor", "driver"):
            text = pod["metadata"].get("annotations", {}).get(f"git-lakehouse/{of_spark}.yaml")
            if text is not None:
                yield of_spark, yaml.safe_load(text)


def configuration(found: Iterable[Manifest], component: str = "nightly") -> dict[str, Any]:
    """The configuration of a pod."""
    pod = dict(pods(found))[component]
    return tomllib.loads(pod["metadata"]["annotations"]["git-lakehouse/config.toml"])
