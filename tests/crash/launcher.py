"""The ``pipeline`` command with an accident in it: ``python -m tests.crash.launcher CONFIG``.

It starts Spark with that configuration, then reads an order from standard input, one line of JSON: ``how`` (die or
hold), ``point``, ``today`` (the current date of a backfill) and ``arguments`` of the command.
"""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path

import pipeline.cli.backfill
from pipeline.cli.main import main
from pipeline.context.config import load_config
from pipeline.storage.factory import open_storage
from pipeline.tables.session import open_session
from tests.crash.points import POINTS, die, hold


def get_ready(config_path: Path) -> None:
    """Do what every command does first."""
    config = load_config(config_path)
    storage = open_storage(config.archive.location, config.hdfs)
    open_session(config.spark, storage.root_uri, "pipeline").range(1).collect()


if __name__ == "__main__":
    get_ready(Path(sys.argv[1]))
    line = sys.stdin.readline()
    if not line:
        sys.exit("nobody gave an order")
    order = json.loads(line)
    pipeline.cli.backfill.today = lambda: date.fromisoformat(order["today"])  # type: ignore[attr-defined]
    POINTS[order["point"]].arm({"die": die, "hold": hold}[order["how"]])
    sys.argv = ["pipeline", *order["arguments"]]
    main()
