"""Locations, settings and errors."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.model.errors import ExitCode, UsageError
from pipeline.storage.errors import (
    AlreadyThere,
    FileMissing,
    LeaseLost,
    StorageError,
    StorageUnavailable,
    UploadMismatch,
)
from pipeline.storage.factory import open_storage
from pipeline.storage.hdfs_client import make_client
from pipeline.storage.paths import is_temporary, temporary_name
from pipeline.storage.settings import HdfsSettings
from tests.storage.conftest import hdfs_settings


def test_local_locations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for location in (str(tmp_path / "a b"), f"file://{tmp_path}/a b", f"file:{tmp_path}/a b", "a b", "./x/../a b/"):
        storage = open_storage(location)
        assert storage.root_uri == f"file://{tmp_path}/a b"
        assert storage.uri("c/d") == f"file://{tmp_path}/a b/c/d"
        assert storage.uri("") == storage.root_uri


@pytest.mark.parametrize("location", ["hdfs://h:8020/a/b", "hdfs://h:8020/a/b/", "hdfs://nameservice1/a/b"])
def test_hdfs_locations(location: str) -> None:
    storage = open_storage(location, hdfs_settings("http://h:9870"))
    assert storage.root_uri == location.rstrip("/")
    assert storage.uri("c") == f"{location.rstrip('/')}/c"


def test_the_root_of_hdfs() -> None:
    storage = open_storage("hdfs://h:8020", hdfs_settings("http://h:9870"))
    assert (storage.root_uri, storage.uri("c")) == ("hdfs://h:8020", "hdfs://h:8020/c")


@pytest.mark.parametrize(
    "location",
    [
        "",
        "file://host/x",
        "file:x",
        "s3://bucket/x",
        "webhdfs://h:1/x",
        "hdfs:///x",
        "hdfs://h:1/a/../b",
        "hdfs://h/a?b",
    ],
)
def test_bad_locations_are_wrong_usage(location: str) -> None:
    with pytest.raises(UsageError):
        open_storage(location, hdfs_settings("http://h:9870"))


def test_hdfs_needs_settings() -> None:
    with pytest.raises(UsageError, match="WebHDFS"):
        open_storage("hdfs://h:8020/a", None)


@pytest.mark.parametrize(
    "changes",
    [
        {"webhdfs_urls": []},
        {"webhdfs_urls": ["h:9870"]},
        {"webhdfs_urls": ["http://a;http://b"]},
        {"auth": "token"},
        {"token": "t"},
        {"unknown": 1},
        {"attempts": 0},
        {"read_timeout_s": 0},
    ],
)
def test_bad_settings(changes: dict[str, object]) -> None:
    HdfsSettings.model_validate({"webhdfs_urls": ["http://h:9870"]})
    with pytest.raises(ValidationError):
        HdfsSettings.model_validate({"webhdfs_urls": ["http://h:9870"], **changes})


def test_settings_are_described_and_hide_the_token() -> None:
    assert all(field.description for field in HdfsSettings.model_fields.values())
    settings = hdfs_settings("http://h:9870", auth="token", token="secret")
    assert "secret" not in repr(settings)
    client = make_client(settings)
    assert client._session.params == {"delegation": "secret"}
    client._session.close()


def test_the_environment_s_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    client = make_client(hdfs_settings("http://h:9870", user="me"))
    assert client._session.trust_env is False
    assert client._session.params == {"user.name": "me"}
    client._session.close()


@pytest.mark.parametrize(
    ("error", "retryable", "exit_code"),
    [
        (StorageError("p", "no space"), False, ExitCode.RUN_FAILED),
        (StorageUnavailable("p", "no answer"), True, ExitCode.RUN_FAILED),
        (FileMissing("p"), False, ExitCode.RUN_FAILED),
        (AlreadyThere("p"), False, ExitCode.RUN_FAILED),
        (UploadMismatch("p", "sha256 a", "sha256 b"), True, ExitCode.RUN_FAILED),
        (LeaseLost("p", "it ran out"), False, ExitCode.ARCHIVE_HELD),
    ],
)
def test_errors_travel_whole(error: StorageError, retryable: bool, exit_code: ExitCode) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), vars(copy), str(copy)) == (type(error), vars(error), str(error))
    assert copy.path == "p"
    assert str(copy).startswith("p: ")
    assert (copy.retryable, copy.exit_code) == (retryable, exit_code)


@pytest.mark.parametrize(("path", "folder"), [("f", ""), ("d/e/f", "d/e/")])
def test_temporary_names(path: str, folder: str) -> None:
    name = temporary_name(path)
    assert name.startswith(f"{folder}.f.")
    assert is_temporary(name)
    assert name != temporary_name(path)
    assert not is_temporary(path)
