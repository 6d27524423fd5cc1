"""What finished loads leave behind in ``runs/`` that names a taken-down origin or holds its rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any

from pipeline.archive import begun_loads
from pipeline.model.layout import Load, landed_table
from pipeline.model.tables import BY_NAME
from pipeline.storage.interface import Storage
from pipeline.takedown.doomed import Doomed
from pipeline.takedown.rewrite_file import doomed_rows

_NAMING = ("origin", "url")
"""Keys of JSON records that name the origin they are about."""


def scrub_runs(storage: Storage, doomed: Doomed, check_lease: Callable[[], None]) -> list[str]:
    """Take doomed rows and records out of the folders of finished loads; the paths that were changed or deleted.

    Of the touched buckets go what is left of landings, plans of origins, and what is quarantined with doomed rows.
    Records of visits go out of manifests, verdicts and summaries. An unfinished load needs what it has; whoever
    finishes it leaves out what was taken down.

    Args:
        check_lease: called before each load.
    """
    urls = {url for named in doomed.urls.values() for url in named}
    changed: list[str] = []
    for load, finished in begun_loads(storage).items():
        if finished:
            check_lease()
            changed.extend(_delete(storage, load, doomed))
            if urls:
                changed.extend(_scrub(storage, load, urls))
    return changed


def _delete(storage: Storage, load: Load, doomed: Doomed) -> Iterator[str]:
    for bucket in sorted(doomed.buckets):
        for held in (f"{load.root}/landing", load.plan_origins, load.plan_refs):
            folder = f"{held}/bucket={bucket}"
            if storage.delete(folder, recursive=True):
                yield folder
        for attempt in storage.list(f"{load.root}/quarantine/bucket={bucket}"):
            if any(_is_doomed(storage, file.path, doomed) for file in storage.walk(attempt.path)):
                # All of it: it may hold objects of the origin that no table ever had, so no tombstone names them.
                storage.delete(attempt.path, recursive=True)
                yield attempt.path


def _is_doomed(storage: Storage, path: str, doomed: Doomed) -> bool:
    table = landed_table(path)
    return table in BY_NAME and doomed_rows(storage, table, path, doomed) > 0


def _scrub(storage: Storage, load: Load, urls: Collection[str]) -> Iterator[str]:
    needles = [json.dumps(url)[1:-1].encode() for url in urls]
    for file in list(storage.walk(load.root)):
        if not file.path.endswith((".json", ".txt")):
            continue
        text = storage.read(file.path)
        if not any(needle in text for needle in needles):
            continue
        if file.path.endswith(".json"):
            after = json.dumps(without(json.loads(text), urls), indent=1).encode()
        else:
            after = b"".join(line for line in text.splitlines(keepends=True) if _first_word(line) not in urls)
        if after != text:
            storage.replace(file.path, after)
            yield file.path


def _first_word(line: bytes) -> str:
    return line.decode().partition(" ")[0].strip()


def without(value: Any, urls: Collection[str]) -> Any:  # noqa: ANN401 - any JSON value
    """A JSON document without the records, in lists, that are about some origins."""
    if isinstance(value, dict):
        return {key: without(item, urls) for key, item in value.items()}
    if isinstance(value, list):
        return [without(item, urls) for item in value if not (isinstance(item, dict) and _is_about(item, urls))]
    return value


def _is_about(record: dict[str, Any], urls: Collection[str]) -> bool:
    return any(record.get(key) in urls for key in _NAMING)
