"""One bucket with every bad server at once, and good origins among them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import zlib
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from pipeline.git.limits import MIB, Limits
from tests.fetch.archive import Archive, reachable
from tests.fetch.handmade import handmade
from tests.git.packs import BLOB, header, oid_of, pack_of, ref_delta, replace_all, zeros
from tests.support.nobody import nobody
from tests.support.repos import add_commits, build_graph, many_small
from tests.support.servers import (
    corrupt_pack,
    endless_pack,
    endless_refs,
    garbage_pack,
    git_daemon,
    half,
    http_backend,
    http_status,
    reset,
    silent,
    trickle,
)

pytestmark = pytest.mark.slow

LIMITS = Limits(
    connect_s=20,
    silence_s=15,
    total_s=40,
    refs_bytes=2 * MIB,
    pack_bytes=16 * MIB,
    blob_bytes=MIB,
    inflated_bytes=2048 * MIB,
)
PEAK_BYTES = 400 * MIB
"""Twice the measured use; a third of it is Python and Arrow before any work."""

CHILD_LIMIT_S = 240


def in_pieces(total: int) -> bytes:
    """A zlib stream of this many zeros, made quickly by repeating one piece."""
    packer, step = zlib.compressobj(9), 16 * MIB
    first, again = (packer.compress(bytes(step)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    ends = zlib.adler32(bytes(step))
    for _ in range(total // step - 1):
        ends = zlib.adler32(bytes(step), ends)
    return first + again * (total // step - 1) + b"\3\0" + ends.to_bytes(4, "big")


HOSTILE_PACKS = MappingProxyType(
    {
        "a bomb that claims ten bytes": (pack_of([header(BLOB, 10) + zeros(200 * MIB)]), "pack_corrupt"),
        "a bomb that claims what it is": (
            pack_of([header(BLOB, 512 * MIB) + in_pieces(512 * MIB)]),
            "pack_incomplete",
        ),
        "a bomb over the limit": (pack_of([header(BLOB, 60 << 30) + zeros(MIB)]), "limit_exceeded"),
        "a cycle of deltas": (
            pack_of(
                [
                    ref_delta(oid_of(BLOB, b"two"), replace_all(b"two", b"one")),
                    ref_delta(oid_of(BLOB, b"one"), replace_all(b"one", b"two")),
                ]
            ),
            "bases_missing",
        ),
    }
)


def test_good_neighbours_finish_and_memory_is_bounded(tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    good = many_small(served, 10)
    build_graph(served / "big.git", [[1], [2, 1], [3, 1, 2]])
    add_commits(served / "big.git", 200)
    archive = Archive(tmp_path)
    with contextlib.ExitStack() as stack:
        start = stack.enter_context
        bad = {start(nobody()).url("nobody.git"): ("failed", "connection_failed")}
        for scheme in ("git", "http"):
            bad |= {
                start(silent(scheme)).url(): ("failed", "timeout"),
                start(trickle(scheme)).url(): ("failed", "timeout"),
                start(reset(scheme)).url(): ("failed", "connection_lost"),
                start(endless_refs(scheme)).url(): ("failed", "limit_exceeded"),
                start(endless_pack(scheme)).url(): ("failed", "limit_exceeded"),
                start(half(served, 3000, scheme)).url("big.git"): ("failed", "connection_lost"),
                start(garbage_pack(served, scheme)).url("big.git"): ("failed", "pack_corrupt"),
                start(corrupt_pack(served, scheme)).url("big.git"): ("failed", "pack_corrupt"),
            }
        bad[start(http_status(503)).url()] = ("failed", "server_error")
        for pack, code in HOSTILE_PACKS.values():
            server, _ = start(handmade({"refs/heads/main": "1" * 40}, [pack] * 2))
            bad[server.url()] = ("failed", code)
        servers = start(git_daemon(served)), start(http_backend(served))
        whole = {servers[n % 2].url(repo.name): ("full", None) for n, repo in enumerate(good)}
        archive.plan(*bad, *whole)
        found = fetch_in_child(archive.root)
    assert {url: tuple(visit) for url, visit in found["visits"].items()} == bad | whole
    assert found["new"] == sorted(oid for repo in good for oid in reachable(repo))
    assert found["peak_bytes"] < PEAK_BYTES
    assert archive.left_in_scratch() == []


def fetch_in_child(root: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.crash.fetch_child", str(root), LIMITS.model_dump_json()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    print(f"{found['peak_bytes'] >> 20} MiB")
    return found
