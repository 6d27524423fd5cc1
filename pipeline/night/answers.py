"""What new origins showed when they were asked, kept with the load's plan: a run after a kill does not ask them again.

A file has one record per origin: ``origin`` and ``refs``, a list of name (bytes as Latin-1), target and commit.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from itertools import count

from pipeline.model.layout import Load
from pipeline.rules.kinship import Tip, Tips
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage

log = logging.getLogger(__name__)


def keep_answers(storage: Storage, load: Load, number: int, tips: Mapping[str, Tips]) -> None:
    """Write file ``number`` of a load; an earlier one is replaced."""
    records = [
        {
            "origin": url,
            "refs": [[tip.name.decode("latin-1"), tip.target.hex(), tip.commit.hex()] for tip in shown.refs],
        }
        for url, shown in sorted(tips.items())
    ]
    storage.replace(load.newcomers(number), json.dumps(records).encode())


def read_answers(storage: Storage, load: Load) -> Iterator[dict[str, Tips]]:
    """The files of a load in their order. A damaged one is empty: who is in it is asked again."""
    for number in count(1):
        try:
            yield read_document(storage, load.newcomers(number), _parsed)
        except FileMissing:
            return
        except StoredFileDamaged as error:
            log.error("%s; those who are in it are asked again", error)
            yield {}


def _parsed(data: bytes) -> dict[str, Tips]:
    return {record["origin"]: Tips(tuple(_tip(*ref) for ref in record["refs"])) for record in json.loads(data)}


def _tip(name: str, target: str, commit: str) -> Tip:
    return Tip(name.encode("latin-1"), bytes.fromhex(target), bytes.fromhex(commit))
