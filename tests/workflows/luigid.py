"""A real luigid on a free port, and its API."""

from __future__ import annotations

import configparser
import json
import os
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.sessions import comes_up
from tests.support.sockets import JOIN_LIMIT_S, LOOPBACK, free_port

CONFIG = Path(__file__).parents[2] / "conf" / "luigi.cfg"
ATTEMPTS = 5


@dataclass
class Luigid:
    """``address`` is the value for ``luigi.scheduler``."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> bool:
        """Start it at the same address; False if it does not come up. After a kill it has forgotten everything."""
        where = ["--address", LOOPBACK, "--port", str(self.port), "--state-path", str(self.folder / "state.pickle")]
        environment = os.environ | {"LUIGI_CONFIG_PATH": str(self.folder / "luigi.cfg")}
        with (self.folder / "luigid.log").open("ab") as log:
            process = subprocess.Popen(
                [Path(sys.executable).with_name("luigid"), *where],
                cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.process = process
        return comes_up(process, self.port)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(JOIN_LIMIT_S)

    def ask(self, method: str, **arguments: Any) -> Any:
        query = urllib.parse.urlencode({"data": json.dumps(arguments)})
        with urllib.request.urlopen(f"http://{self.address}/api/{method}?{query}", timeout=30) as answer:
            return json.load(answer)["response"]

    def tasks(self, status: str) -> dict[str, str]:
        """Families of the tasks with a status, by task id."""
        found = self.ask("task_list", status=status, upstream_status="")
        return {task_id: task["name"] for task_id, task in found.items()}


@contextmanager
def luigid(folder: Path, **changed: float) -> Iterator[Luigid]:
    """Start one with conf/luigi.cfg and some changed settings of [scheduler]."""
    config = configparser.ConfigParser()
    config.read_string(CONFIG.read_text())
    config["scheduler"].update({key: str(value) for key, value in changed.items()})
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "luigi.cfg").open("w") as stream:
        config.write(stream)
    for _ in range(ATTEMPTS):
        scheduler = Luigid(folder, free_port())
        try:
            if scheduler.start():
                yield scheduler
                return
        finally:
            scheduler.kill()
    raise RuntimeError((folder / "luigid.log").read_text())
