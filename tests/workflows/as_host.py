"""``python -m tests.workflows.as_host NAME ARGUMENTS``: the pipeline command as on another machine of that name.

Other machines cannot see that a process here is gone, so its lease must expire; unless the name is ``here``.
``patient`` leaves the archive to others for longer between batches.
"""

from __future__ import annotations

import socket
import sys

import pipeline.storage.lease_record
import pipeline.workflows.backfill_origins
from pipeline.cli.main import main

if __name__ == "__main__":
    name = sys.argv.pop(1)
    if name == "patient":
        pipeline.workflows.backfill_origins.TURN_S = 15  # type: ignore[attr-defined]
    if name != "here":
        socket.gethostname = lambda: name
        pipeline.storage.lease_record.process_identity = lambda: ""  # type: ignore[attr-defined]
    main()
