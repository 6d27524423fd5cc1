"""Fetches a planned bucket in its own process, to measure its memory: ``python -m tests.crash.fetch_child``.

Takes the archive's folder and the limits as JSON; prints visits by URL and peak memory use in bytes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pipeline.git.limits import Limits
from tests.fetch.archive import Archive
from tests.support.memory import peak_bytes


def main(root: str, limits: str) -> None:
    archive = Archive(Path(root), Limits.model_validate_json(limits), run_bytes=16 << 20, concurrency=32)
    night = archive.fetch_only(archive.next_load())
    visits = {line.origin: (line.status, line.error) for line in night.visits}
    print(json.dumps({"visits": visits, "new": sorted(night.new_ids()), "peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
