"""The API server takes what the chart makes, and lets its accounts do what they need and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.chart import EXAMPLES, rendered
from tests.deploy.test_rendered import ALL
from tests.support.kubernetes import Namespace, cluster, namespace

__all__ = ["cluster", "namespace"]
pytestmark = pytest.mark.kubernetes

ACCOUNTS = ("driver", "executor", "plain")


@pytest.fixture(scope="module")
def granted(namespace: Namespace) -> Namespace:
    """The namespace with accounts, role and binding of the chart in it."""
    text = rendered(EXAMPLES[0], namespace=namespace.name, only="templates/rights.yaml")
    namespace.kubectl("apply", "-f", "-", text=text)
    return namespace


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_would_take_every_manifest(granted: Namespace, path: Path) -> None:
    text = rendered(path, values={**ALL, "priorityClass": ""}, namespace=granted.name)
    granted.kubectl("apply", "--dry-run=server", "-f", "-", text=text)


def test_it_would_not_take_a_wrong_one(granted: Namespace) -> None:
    text = rendered(EXAMPLES[0], values=ALL, namespace=granted.name)
    wrong = text.replace("concurrencyPolicy: Forbid", "concurrencyPolicy: Never")
    assert wrong != text
    with pytest.raises(AssertionError, match="Unsupported value"):
        granted.kubectl("apply", "--dry-run=server", "-f", "-", text=wrong)


def can(namespace: Namespace, account: str, *words: str, inside: str | None = None) -> bool:
    done = namespace.cluster.kubectl(
        f"--namespace={inside or namespace.name}", "auth", "can-i", *words,
        f"--as=system:serviceaccount:{namespace.name}:lake-git-lakehouse-{account}",
    )  # fmt: skip
    assert done.stdout.strip() in ("yes", "no"), done.stderr
    return done.stdout.strip() == "yes"


@pytest.mark.parametrize("resource", ["pods", "services", "configmaps", "persistentvolumeclaims"])
@pytest.mark.parametrize("verb", ["create", "get", "list", "watch", "delete", "deletecollection"])
def test_a_driver_may_make_and_end_its_executors_here(granted: Namespace, verb: str, resource: str) -> None:
    assert can(granted, "driver", verb, resource)
    assert not can(granted, "driver", verb, resource, inside="default")
    assert not can(granted, "executor", verb, resource)
    assert not can(granted, "plain", verb, resource)


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize(
    "words",
    [
        ("get", "secrets"), ("list", "secrets"), ("create", "secrets"), ("create", "pods", "--subresource=exec"),
        ("create", "pods", "--subresource=attach"),
        ("patch", "pods", "--subresource=ephemeralcontainers"),
        ("update", "pods", "--subresource=ephemeralcontainers"), ("create", "jobs.batch"),
        ("create", "deployments.apps"), ("get", "serviceaccounts"),
        ("create", "serviceaccounts", "--subresource=token"),
        ("create", "roles.rbac.authorization.k8s.io"), ("create", "rolebindings.rbac.authorization.k8s.io"),
        ("list", "nodes"), ("list", "namespaces"), ("create", "persistentvolumes"), ("impersonate", "users"),
    ],
    ids="-".join,
)  # fmt: skip
def test_nobody_may_do_more(granted: Namespace, account: str, words: tuple[str, ...]) -> None:
    assert not can(granted, account, *words)


def test_a_driver_may_read_logs_of_its_pods(granted: Namespace) -> None:
    assert can(granted, "driver", "get", "pods", "--subresource=log")
    assert not can(granted, "executor", "get", "pods", "--subresource=log")
