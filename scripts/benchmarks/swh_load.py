"""Load a repository into storage in memory and print the cost. Run by the Python with swh-loader-git, never by ours."""

from __future__ import annotations

import json
import logging
import resource
import sys

from swh.loader.git.loader import GitLoader
from swh.storage import get_storage

STEPS = [{"cls": "buffer"}, {"cls": "filter"}, {"cls": "memory"}]


def cpu_s() -> float:
    """User and system time of this process and its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main(url: str) -> None:
    """Print one line of JSON."""
    logging.disable(logging.ERROR)
    storage = get_storage("pipeline", steps=STEPS)
    began = cpu_s()
    outcome = GitLoader(storage, url).load()
    took = cpu_s() - began
    if outcome["status"] != "eventful":
        sys.exit(f"the loader says {outcome}")
    print(json.dumps({"cpu_s": took}))


if __name__ == "__main__":
    main(sys.argv[1])
