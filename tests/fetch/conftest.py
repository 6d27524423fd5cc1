"""Both kinds of server, and a folder that they serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fetch.archive import Serve
from tests.support.servers import git_daemon, http_backend


@pytest.fixture(params=[git_daemon, http_backend], ids=["git", "http"])
def serve(request: pytest.FixtureRequest) -> Serve:
    found: Serve = request.param
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    return folder
