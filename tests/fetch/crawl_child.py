"""One crawl host: fetches a planned bucket in its own process: ``python -m tests.fetch.crawl_child ARCHIVE CONFIG``."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.context.config import load_config
from tests.fetch.archive import Archive


def main(root: str, config: str) -> None:
    archive = Archive(Path(root))
    archive.fetch_only(archive.next_load(), conditions=load_config(Path(config)).conditions)


if __name__ == "__main__":
    main(*sys.argv[1:])
