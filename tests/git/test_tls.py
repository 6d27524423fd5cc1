"""Conversations over TLS: whose certificates are trusted, and how often those are loaded."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster_certificates import Authority
from pipeline.git import http_pool
from pipeline.git.errors import ConnectionFailed
from tests.git.test_exchange import talk
from tests.support.repos import build_graph
from tests.support.servers import http_backend
from tests.support.sockets import LOOPBACK


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def served(tmp_path: Path) -> Path:
    build_graph(tmp_path / "served" / "repo.git", [[1], [2, 1]])
    return tmp_path / "served"


@pytest.fixture(autouse=True)
def nothing_loaded() -> Iterator[None]:
    http_pool.trusted.cache_clear()
    yield
    http_pool.trusted.cache_clear()


def test_authorities_are_loaded_once_for_all_visits(
    authority: Authority, served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    loaded = []
    load = ssl.SSLContext.load_default_certs

    def counted(self: ssl.SSLContext, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        loaded.append(self)
        load(self, purpose)

    certificate = authority.issue("here", "here", hosts=[f"IP:{LOOPBACK}"])
    with http_backend(served, certificate=certificate) as peer:
        monkeypatch.setattr(ssl.SSLContext, "load_default_certs", counted)
        visits = [talk(peer.url(), tmp_path / f"{number}.pack") for number in range(3)]
    assert len({visit.pack_bytes for visit in visits}) == 1
    assert visits[0].pack_bytes > 0
    assert len(loaded) == 1


@pytest.mark.parametrize(
    ("trusted", "named", "why"),
    [(False, f"IP:{LOOPBACK}", "unable to get local issuer certificate"), (True, "DNS:elsewhere", "not valid for")],
)
def test_what_is_not_certified_is_refused(
    trusted: bool, named: str, why: str, authority: Authority, served: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    certificate = authority.issue(named.replace(":", "-"), "there", hosts=[named])
    with (
        http_backend(served, certificate=certificate) as peer,
        pytest.raises(ConnectionFailed, match=f"TLS failed.*{why}"),
    ):
        talk(peer.url(), tmp_path / "test.pack")
    assert not peer.requests
