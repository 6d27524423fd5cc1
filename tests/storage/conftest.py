"""The storages that every contract test runs on."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.storage.factory import open_storage
from pipeline.storage.interface import Storage
from pipeline.storage.settings import HdfsSettings
from tests.support.hdfs import MiniHdfs

StorageFactory = Callable[[], Storage]


@pytest.fixture(params=["local", pytest.param("hdfs", marks=pytest.mark.hdfs)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """An empty storage, local and on HDFS; its root does not exist yet."""
    if request.param == "local":
        yield open_storage(str(tmp_path / "archive"))
        return
    cluster: MiniHdfs = request.getfixturevalue("hdfs")
    yield open_storage(f"{cluster.hdfs_uri}/test-{uuid.uuid4().hex}", hdfs_settings(cluster.webhdfs_url))


def hdfs_settings(*urls: str, **changes: object) -> HdfsSettings:
    """Settings with short limits for tests."""
    values = {"connect_timeout_s": 10, "read_timeout_s": 30, "first_pause_s": 0.05, **changes}
    return HdfsSettings.model_validate({"webhdfs_urls": urls, **values})
