#!/usr/bin/env python3
"""Find what was changed in a release by hand, which ``plan`` alone cannot see.

Run it in the folder of a root module, with the program that keeps its state::

    replace=$(../../drift.py tofu) && tofu plan -detailed-exitcode $replace

For each release whose live objects, revision or secrets are not what Terraform left, it says on standard error what is
different, and prints the option that makes the plan replace the release, which is an upgrade to what it should be.
Prints nothing if all is as it should be. Needs helm, kubectl and the right to patch the release's objects: the diff
is a server-side dry run, which changes nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

OWNER = "drift"
"""Who asks for the dry run. In the name of Helm it would take away what Helm adds to a manifest."""

KEYS = '{{range $key, $value := .data}}{{$key}}{{"\\n"}}{{end}}'


class Failed(Exception):
    """A program gave no answer."""


def main(arguments: list[str]) -> int:
    """Exit code: 0, whether releases have drifted or not; 2 if it could not be found out."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: drift.py terraform|tofu", file=sys.stderr)
        return 2
    try:
        for address, release in releases(json.loads(run(arguments[0], "show", "-json"))):
            found = list(differences(release))
            for difference in found:
                print(f"{address}: {difference}", file=sys.stderr)
            if found:
                print(f"-replace={address}")
    except Failed as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def releases(state: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Address and output of each ``terraform_data.release`` of the module, at any depth."""
    modules = [state.get("values", {}).get("root_module", {})]
    while modules:
        module = modules.pop()
        modules += module.get("child_modules", ())
        for resource in module.get("resources", ()):
            if resource["type"] == "terraform_data" and resource["name"] == "release":
                yield resource["address"], resource["values"]["output"]


def differences(release: dict[str, Any]) -> Iterator[str]:
    """What is not as Terraform left it, a sentence each.

    Args:
        release: keys release, namespace, context, fingerprint, and secrets as NAME/KEY.
    """
    helm, kubectl = (
        [program, *([option, release["context"]] if release["context"] else ()), "--namespace", release["namespace"]]
        for program, option in (("helm", "--kube-context"), ("kubectl", "--context"))
    )
    for name, _, key in (place.partition("/") for place in release["secrets"]):
        keys = run(*kubectl, "get", "secret", name, "--ignore-not-found", f"--output=go-template={KEYS}")
        if key not in keys.splitlines():
            yield f"secret {name} lacks the key {key}"
    known = json.loads(run(*helm, "list", f"--filter=^{release['release']}$", "--output=json"))
    if not known:
        yield "the release is not there"
        return
    (revision,) = json.loads(run(*helm, "history", release["release"], "--max=1", "--output=json"))
    if revision["status"] != "deployed":
        yield f"revision {revision['revision']} is {revision['status']}"
    if revision["description"] != f"Terraform {release['fingerprint']}":
        yield f"revision {revision['revision']} is not Terraform's: {revision['description']}"
    manifest = run(*helm, "get", "manifest", release["release"])
    options = ("--server-side", "--force-conflicts", f"--field-manager={OWNER}", "--filename=-")
    changes = run(*kubectl, "diff", *options, stdin=manifest, fine=(0, 1))
    if changes:
        yield f"live objects differ from the release (- is live, + is the release):\n{changes}"


def run(*command: str, stdin: str = "", fine: tuple[int, ...] = (0,)) -> str:
    """Standard output of a program.

    Raises:
        Failed: it is not there, or its exit code is not fine.
    """
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from error
    if done.returncode not in fine:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
