"""A night by the chart on an HDFS that asks who one is: a KDC of this machine, and pods that have a keytab."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from hadoop_daemons import write_site
from tests.deploy.release import EXECUTOR, Release, image, of_one_pod, served, server, until, values
from tests.e2e.archive import Archive, Place
from tests.support.hdfs import MiniHdfs
from tests.support.kubernetes import Namespace, cluster, namespace
from tests.support.repos import build_graph
from tests.support.sockets import Peer

__all__ = ["cluster", "image", "namespace", "served", "server"]
pytestmark = [pytest.mark.kubernetes, pytest.mark.hdfs, pytest.mark.timeout(3600)]

JOB = "language_census"
KERBEROS = {"secret": "kerberos", "principal": "lake@EXAMPLE.COM"}


@pytest.fixture(scope="module")
def hdfs(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniHdfs]:
    """An HDFS that pods reach, with a KDC."""
    made = MiniHdfs(tmp_path_factory.mktemp("hdfs") / "cluster", host=namespace.cluster.address, kerberos=True)
    yield made
    made.wipe()


def test_a_keytab_is_all_that_pods_need(
    namespace: Namespace, image: str, hdfs: MiniHdfs, served: Path, server: Peer, tmp_path: Path
) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{hdfs.webhdfs_url}/webhdfs/v1/?op=LISTSTATUS&user.name=root")
    assert refused.value.code == HTTPStatus.UNAUTHORIZED
    given_to_pods(namespace, hdfs, tmp_path)
    place = Place("kerberos", hdfs.hdfs_uri, {"webhdfs_urls": [hdfs.webhdfs_url], "auth": "kerberos"})
    allowed = {"allowed_networks": [f"{namespace.cluster.address}/32"]}
    archive = Archive.at(
        place, tmp_path / "archive", "archive", archive={"buckets": 2}, fetch=allowed, nightly={"jobs": [JOB]}
    )
    build_graph(served / "a.git", [[1], [2, 1], [3, 2]])
    release = Release(namespace, "git-lakehouse", who_logs_in(of_one_pod(values(namespace, image, archive))))
    release.install()
    release.commanded("origins", "add", server.url("a.git"))
    night = release.night(1)
    until(lambda: release.running(EXECUTOR), "an executor")
    release.ends(night)
    shown = release.commanded("results", "show", JOB, "--output", "json")
    submitting = Release(namespace, release.name, by_a_driver_in_a_pod(release.values))
    submitted = submitting.commanded("submit", JOB, "--output", "json")
    assert "submitted driver git-lakehouse-language-census-" in submitted
    for said in (shown, submitted):
        assert files(said) == 3


def given_to_pods(namespace: Namespace, hdfs: MiniHdfs, folder: Path) -> None:
    """The keytab, and what Hadoop's client must know."""
    kerberos = hdfs.folder / "kerberos"
    files = [f"--from-file={kerberos / name}" for name in ("keytab", "krb5.conf")]
    namespace.kubectl("create", "secret", "generic", KERBEROS["secret"], *files)
    sites = {
        "core-site.xml": {"hadoop.security.authentication": "kerberos"},
        "hdfs-site.xml": {"dfs.namenode.kerberos.principal": f"hdfs/{namespace.cluster.address}@EXAMPLE.COM"},
    }
    for name, settings in sites.items():
        write_site(folder / name, settings)
    namespace.kubectl("create", "configmap", "hadoop", *(f"--from-file={folder / name}" for name in sites))


def who_logs_in(given: dict[str, Any]) -> dict[str, Any]:
    """The values of a release with a keytab."""
    config = given["config"]
    secure = {key: value for key, value in config["hdfs"].items() if key != "user"}
    return given | {"config": config | {"hdfs": secure}, "hadoopConf": "hadoop", "secrets": {"kerberos": KERBEROS}}


def by_a_driver_in_a_pod(given: dict[str, Any]) -> dict[str, Any]:
    """The values of a release whose submitted jobs are driven by pods of their own."""
    config = given["config"]
    return given | {"config": config | {"spark": config["spark"] | {"deploy_mode": "cluster"}}}


def files(said: str) -> int:
    """How many files a census counts, which stands between the log and where it is stored."""
    found, _ = json.JSONDecoder().raw_decode(said[f"\n{said}".rindex("\n[\n") :])
    return sum(row["files"] for row in found)
