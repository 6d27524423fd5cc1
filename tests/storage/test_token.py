"""The delegation token of HDFS, from the configuration or from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.context.config import Config
from pipeline.model.errors import UsageError
from pipeline.storage.hdfs_client import make_client as connect
from pipeline.storage.settings import HdfsSettings

URLS = ("http://127.0.0.1:1",)


def test_a_file_is_read_when_a_client_is_made(tmp_path: Path) -> None:
    file = tmp_path / "token"
    settings = HdfsSettings(webhdfs_urls=URLS, auth="token", token_file=file)
    file.write_text("t0ken-1\n")
    assert connect(settings)._session.params == {"delegation": "t0ken-1"}
    assert Config(hdfs=settings).secrets == ("t0ken-1",)
    file.write_text("t0ken-2")
    assert connect(settings)._session.params == {"delegation": "t0ken-2"}


def test_without_a_token_in_it_the_file_is_named(tmp_path: Path) -> None:
    settings = HdfsSettings(webhdfs_urls=URLS, auth="token", token_file=tmp_path / "token")
    for content in (None, "", " \n"):
        if content is not None:
            (tmp_path / "token").write_text(content)
        with pytest.raises(UsageError, match="no token in the file"):
            connect(settings)


def test_only_authentication_by_token_takes_one(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="token"):
        HdfsSettings(webhdfs_urls=URLS, token_file=tmp_path / "token")
    with pytest.raises(ValidationError, match="token"):
        HdfsSettings(webhdfs_urls=URLS, auth="token")
