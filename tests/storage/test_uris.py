"""Paths of files that are named by the root where an archive was before."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pipeline.storage.hdfs import HdfsStorage
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage
from pipeline.storage.settings import HdfsSettings

HDFS = HdfsSettings(webhdfs_urls=("http://127.0.0.1:1",))


@pytest.mark.parametrize("storage", [LocalStorage(Path("/a/b")), HdfsStorage("hdfs://host:1/a/b", HDFS)], ids=repr)
@pytest.mark.parametrize("former", ["file:///a", "file:///a/b/c", "file:/elsewhere/", "hdfs://other:2/a"])
def test_files_are_found_below_the_former_root_alone(storage: Storage, former: str) -> None:
    moved = storage.formerly_at(former)
    assert moved.path_of(f"{former.rstrip('/')}/tables/x") == "tables/x"
    assert moved.path_of("file:///nowhere/tables/x") is None
    assert moved.path_of(f"{former.rstrip('/')}/tab\x17les/../x") is None
    assert moved.root_uri == storage.root_uri
    assert moved.uri("tables/x") == storage.uri("tables/x")
    assert storage.path_of(f"{storage.root_uri}/tables/x") == "tables/x", "the storage itself is as it was"
    assert pickle.loads(pickle.dumps(moved)).root_uri == storage.root_uri
