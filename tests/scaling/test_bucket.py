"""A bucket without Spark finds in each night what was changed, and notices if it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.archive import Bed
from scaling import parts
from scaling.bucket import Bucket
from scaling.population import Population
from scaling.server import MadeUpServer, made_up_server
from scaling.steps import NotAsMade


def small_bucket(folder: Path, server: MadeUpServer) -> Bucket:
    return Bucket(Bed(folder), server, Population(server.url, parts.TINY, networks=2))


def test_nights_follow_each_other(tmp_path: Path) -> None:
    with made_up_server() as server:
        bucket = small_bucket(tmp_path, server)
        bucket.make_night()
        bucket.make_night()
        bucket.change([1])
        bucket.plan()
        for _ in range(2):
            assert bucket.fetch_cpu_s() > 0
        bucket.make_night()
        bucket.make_night()


def test_what_was_not_found_is_noticed(tmp_path: Path) -> None:
    with made_up_server() as server:
        bucket = small_bucket(tmp_path, server)
        bucket.make_night()
        server.advance([0])
        with pytest.raises(NotAsMade, match="night 1"):
            bucket.make_night()


def test_each_number_of_nights_is_measured(tmp_path: Path) -> None:
    with made_up_server() as one, made_up_server() as other:
        found = dict(parts.landed(tmp_path, [one, other], [1, 2], size=10, times=1))
    assert found.keys() == {1, 2}
    assert min(found.values()) > 0
