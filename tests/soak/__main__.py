"""Many nights against a model: ``python -m tests.soak [--nights N] [--seed S] [--hdfs]``; ``scripts/soak`` calls it."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.archive import Place
from tests.soak.run import soaking, told
from tests.support.hdfs import MiniHdfs
from tests.support.repos import GIT_ENVIRONMENT


@contextlib.contextmanager
def place(folder: Path, *, hdfs: bool) -> Iterator[Place]:
    if not hdfs:
        yield Place("local", str(folder / "archives"))
        return
    cluster = MiniHdfs(folder / "hdfs")
    try:
        yield Place("hdfs", f"{cluster.hdfs_uri}/soak", {"webhdfs_urls": [cluster.webhdfs_url]})
    finally:
        cluster.wipe()


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--nights", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no night after this many")
    parser.add_argument("--seed", type=int, default=1, help="the same seed does the same")
    parser.add_argument("--hdfs", action="store_true", help="the archive on a one-node HDFS")
    parser.add_argument("--no-kills", dest="kills", action="store_false", help="kill no night")
    chosen = parser.parse_args()
    os.environ.update(GIT_ENVIRONMENT)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        with place(folder, hdfs=chosen.hdfs) as where, soaking(where, folder / "soak", chosen.seed) as soak:
            try:
                soak.run(chosen.nights, minutes=chosen.minutes, kills=chosen.kills)
            finally:
                print(told(soak.report() | {"seed": chosen.seed, "minutes": round((time.monotonic() - began) / 60, 1)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
