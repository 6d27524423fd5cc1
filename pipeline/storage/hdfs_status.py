"""The state of HDFS, as its NameNode reports it through JMX, at the same address as WebHDFS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests

from pipeline.storage.hdfs_failures import translated
from pipeline.storage.settings import HdfsSettings

STATE = "Hadoop:service=NameNode,name=FSNamesystemState"
INFO = "Hadoop:service=NameNode,name=NameNodeInfo"
"""Beans whose values are those of the moment; those of ``name=FSNamesystem`` are metrics, up to ten seconds old."""


@dataclass(frozen=True, slots=True)
class HdfsStatus:
    """The state reported by the first NameNode that answers. ``safe_mode``: why it accepts no writes, "" if it does."""

    namenode: str
    safe_mode: str
    live_datanodes: int
    dead_datanodes: int
    free_bytes: int
    total_bytes: int
    missing_blocks: int


def hdfs_status(settings: HdfsSettings) -> HdfsStatus | None:
    """Ask the NameNodes in order. None if the address is HttpFS, which does not report it.

    Raises:
        StorageUnavailable, StorageError: none answers.
    """
    failed: Exception | None = None
    for url in settings.webhdfs_urls:
        try:
            with translated("", settings):
                return _status(url.rstrip("/"), settings)
        except Exception as error:
            failed = error
    assert failed is not None
    raise failed


def _status(url: str, settings: HdfsSettings) -> HdfsStatus | None:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(settings.ca_file) if settings.ca_file else True
        state, info = (_bean(session, url, query, settings) for query in (STATE, INFO))
    if state is None or info is None:
        return None
    return HdfsStatus(
        namenode=url,
        safe_mode=str(info["Safemode"]).partition(".")[0][:200],
        live_datanodes=int(state["NumLiveDataNodes"]),
        dead_datanodes=int(state["NumDeadDataNodes"]),
        free_bytes=int(state["CapacityRemaining"]),
        total_bytes=int(state["CapacityTotal"]),
        missing_blocks=int(info["NumberOfMissingBlocks"]),
    )


def _bean(session: requests.Session, url: str, query: str, settings: HdfsSettings) -> dict[str, Any] | None:
    limits = (settings.connect_timeout_s, settings.read_timeout_s)
    answer = session.get(f"{url}/jmx", params={"qry": query}, timeout=limits, allow_redirects=False)
    if answer.status_code != requests.codes.ok:
        return None
    beans: list[dict[str, Any]] = answer.json()["beans"]
    return beans[0] if beans else None
