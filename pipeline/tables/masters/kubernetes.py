"""Kubernetes: what it says of our pods, through the client that Spark brings, which knows how to log in."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from py4j.protocol import Py4JError, Py4JJavaError  # type: ignore[import-untyped]  # py4j has no types

from pipeline.model.redact import one_line
from pipeline.rules.offer import Offer
from pipeline.tables.masters.jvm import JavaObject, java_class, scala_object
from pipeline.tables.masters.master import Master
from pipeline.tables.masters.pods import APPLICATION, Pod, ended_executors, offer, pod, waiting

logger = logging.getLogger(__name__)

SCHEME = "k8s://"
NAMESPACE = "spark.kubernetes.namespace"
"""Spark's setting of the namespace in which pods are."""

LAST_LINES = 20
"""How much of an executor's log may hold its reason."""

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_FORBIDDEN, _MISSING = 403, 404


class Api:
    """The API server: JSON objects by their paths.

    Args:
        url: as in ``spark.master``.
        conf: settings of the login, if it is not a pod's or a kubeconfig's.
    """

    def __init__(self, jvm: JavaObject, url: str, conf: Mapping[str, str]) -> None:
        spark_conf = java_class(jvm, "org.apache.spark.SparkConf")(False)
        for key, value in conf.items():
            if key.startswith("spark.kubernetes."):
                spark_conf.set(key, value)
        self.namespace = conf.get(NAMESPACE, "default")
        factory = java_class(jvm, "org.apache.spark.deploy.k8s.SparkKubernetesClientFactory")
        option = java_class(jvm, "scala.Option")
        kind = scala_object(jvm, "org.apache.spark.deploy.k8s.SparkKubernetesClientFactory$ClientType").Driver()
        self._client = factory.createKubernetesClient(
            server(url), option.apply(self.namespace), "spark.kubernetes.authenticate", kind, spark_conf, option.empty()
        )

    def text(self, path: str, **query: str) -> str:
        """What is at a path; "" if nothing is.

        Raises:
            Py4JJavaError: the server does not answer, or refuses.
        """
        return str(self._client.raw(f"{path}?{urlencode(query)}" if query else path) or "")

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """The objects of a list."""
        return self.listed(path, **query)[0]

    def listed(self, path: str, **query: str) -> tuple[list[dict[str, Any]], str]:
        """The objects of a list, and the version of what was listed, after which changes are told."""
        found = json.loads(self.text(path, **query) or "{}")
        return list(found.get("items", ())), str(found.get("metadata", {}).get("resourceVersion", ""))

    def changed(self, path: str, version: str, **query: str) -> list[dict[str, Any]]:
        """The objects of a list in each state since a version that the server still knows. Takes a second."""
        told = self.text(path, watch="1", resourceVersion=version, timeoutSeconds="1", **query)
        return [
            event["object"] for event in map(json.loads, filter(None, told.split("\n"))) if event.get("type") != "ERROR"
        ]

    def delete(self, path: str) -> None:
        """Delete an object, with all that belongs to it; it need not exist."""
        try:
            self._client.raw(path, "DELETE", None)
        except Py4JJavaError as error:
            if _code(error) != _MISSING:
                raise

    @property
    def pods(self) -> str:
        """The path of the namespace's pods."""
        return f"/api/v1/namespaces/{self.namespace}/pods"


class Kubernetes(Master):
    """A cluster at ``k8s://https://host:port``. Last words of executors are kept, as Spark deletes their pods."""

    def __init__(self, url: str, asked: str, wait_s: float, jvm: JavaObject, conf: Mapping[str, str]) -> None:
        super().__init__(url, asked, wait_s)
        self._api = Api(jvm, url, conf)
        self._application = ""
        self._last_words = ""
        self._first_seen = ""

    def offer(self) -> Offer | None:
        """What the nodes have, less what pods ask for; None if we may not look at nodes, as is usual.

        Pods of others count if we may look at them.
        """
        nodes = self._allowed("/api/v1/nodes")
        if nodes is None:
            return None
        return offer(
            nodes, self._allowed("/api/v1/pods", fieldSelector="status.phase!=Succeeded,status.phase!=Failed") or []
        )

    def offered(self) -> str:
        """The same in words, with why our pods wait."""
        try:
            told = waiting(self._pods(self._application)) if self._application else ""
        except Py4JError as error:
            logger.debug("%s does not answer", self.url, exc_info=error)
            told = ""
        return "; ".join(filter(None, [super().offered(), told]))

    def ended_executors(self, application: str) -> int:
        """How many executors of an application have ended."""
        self._application = application
        try:
            found, version = self._api.listed(self._api.pods, **_of(application))
            pods = [pod(one) for one in found]
            self._first_seen = self._first_seen or version
            self._hear(pods)
            ended = ended_executors(pods)
            if ended and not self._last_words:  # it ended and was deleted between two looks
                self._hear_again(application)
        except Py4JError as error:
            logger.debug("%s does not answer", self.url, exc_info=error)
            return 0
        return ended

    def _hear_again(self, application: str) -> None:
        try:
            changed = self._api.changed(self._api.pods, self._first_seen, **_of(application))
        except Py4JError as error:
            logger.debug("%s does not say what changed", self.url, exc_info=error)
        else:
            self._hear(map(pod, changed))

    def _hear(self, pods: Iterable[Pod]) -> None:
        for one in pods:
            if one.executor is not None and (one.ended or one.code is not None):
                self._last_words = f"{one.name}: {one.reason}{self._log(one)}"

    def why_executors_died(self, application: str) -> str:
        """What Kubernetes and the executor itself said of the last one that ended while we looked."""
        return self._last_words or super().why_executors_died(application)

    def _pods(self, application: str) -> list[Pod]:
        return [pod(one) for one in self._api.items(self._api.pods, **_of(application))]

    def _log(self, one: Pod) -> str:
        try:
            said = self._api.text(f"{self._api.pods}/{one.name}/log", tailLines=str(LAST_LINES))
        except Py4JError as error:
            logger.debug("no log of %s", one.name, exc_info=error)
            return ""
        return f"; {one_line('; '.join(said.splitlines()[-6:]))}" if said else ""

    def _allowed(self, path: str, **query: str) -> list[dict[str, Any]] | None:
        """The objects of a list; None if we may not look at them."""
        try:
            return self._api.items(path, **query)
        except Py4JJavaError as error:
            if _code(error) == _FORBIDDEN:
                return None
            raise


def _of(application: str) -> dict[str, str]:
    """The query for an application's pods."""
    return {"labelSelector": f"{APPLICATION}={application}"}


def _code(error: Py4JJavaError) -> int:
    """The status with which the server refused; 0 if it did not answer."""
    try:
        return int(error.java_exception.getCode())
    except Py4JError:  # another exception
        return 0


def server(url: str) -> str:
    """The API server's URL of a master's; without a scheme it is https, as for Spark."""
    rest = url.removeprefix(SCHEME)
    return rest if "://" in rest else f"https://{rest}"


def own_namespace(account: Path = _ACCOUNT) -> dict[str, str]:
    """The setting of the namespace that this process's pod is in, or of the one that Kubernetes has for all."""
    known = account / "namespace"
    return {NAMESPACE: known.read_text().strip() if known.is_file() else "default"}


def of_this_driver(url: str, account: Path = _ACCOUNT) -> dict[str, str]:
    """Settings of a driver in this process: where its executors are made, and the address at which they find it."""
    return own_namespace(account) | {"spark.driver.host": _address_towards(server(url))}


def _address_towards(url: str) -> str:
    """The address of this machine from which it reaches a URL. Nothing is sent."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])
