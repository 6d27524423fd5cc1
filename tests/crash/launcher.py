"""The ``pipeline`` command with an accident in it: ``python -m tests.crash.launcher HOW POINT TODAY ARGUMENTS ...``.

``HOW`` is die or hold, ``TODAY`` is what a backfill takes for the current date.
"""

from __future__ import annotations

import sys
from datetime import date

import pipeline.cli.backfill
from pipeline.cli.main import main
from tests.crash.points import POINTS, die, hold

if __name__ == "__main__":
    how, point, today, *arguments = sys.argv[1:]
    pipeline.cli.backfill.today = lambda: date.fromisoformat(today)
    POINTS[point].arm({"die": die, "hold": hold}[how])
    sys.argv = ["pipeline", *arguments]
    main()
