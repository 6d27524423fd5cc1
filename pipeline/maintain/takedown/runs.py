"""Files of finished loads in ``runs/`` that name a taken-down origin or hold its rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pyarrow.compute as pc

from pipeline.context.archive import begun_loads
from pipeline.maintain.takedown.doomed import KEY_COLUMNS, Doomed
from pipeline.maintain.takedown.rewrite_file import KEY_ROWS, UNREADABLE
from pipeline.model.layout import FSCK, Load, landed_table
from pipeline.model.tables import BY_NAME
from pipeline.read.inventory.ledger import copies_where
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file

_NAMING = ("origin", "url")
"""Keys of JSON records that name the record's origin."""

_TEXTS = (".json", ".txt")
_PAGE = ".html"


def scrub_runs(storage: Storage, doomed: Doomed, check_lease: Callable[[], None]) -> list[str]:
    """Remove doomed rows and records from the folders of finished loads; return the paths that changed or are deleted.

    For the affected buckets it deletes the rest of landings, plans of origins, and quarantined files that hold doomed
    rows or cannot be read. Records of visits are removed from manifests, verdicts and summaries; a damaged or lost one
    is first restored from its copy, and deleted if there is no copy and it names an origin. Reports of checks and of
    nights that name an origin are deleted. An unfinished load needs its files; the run that finishes it leaves out what
    was taken down.

    Args:
        check_lease: called before each load.
    """
    urls = {url for named in doomed.urls.values() for url in named}
    needles = needles_of(urls)
    finished = [load for load, is_finished in begun_loads(storage).items() if is_finished]
    check_lease()
    _put_back(storage, finished, needles)
    changed: list[str] = []
    for load in finished:
        check_lease()
        changed.extend(_delete(storage, load, doomed))
        changed.extend(_delete_page(storage, load, needles))
        changed.extend(_scrub(storage, load, urls, needles))
    changed.extend(_delete_reports(storage, needles))
    return changed


def needles_of(urls: Collection[str]) -> list[bytes]:
    """Byte strings of which a text, JSON or not, contains one if it names any of the URLs."""
    return sorted({form for url in urls for form in (url.encode(), json.dumps(url)[1:-1].encode())})


def names_any(text: bytes, needles: Collection[bytes]) -> bool:
    """Whether a text contains any of these."""
    return any(needle in text for needle in needles)


def _put_back(storage: Storage, loads: Collection[Load], needles: Collection[bytes]) -> None:
    """Restore records whose copies name an origin: otherwise a damaged or lost one is not scrubbed now, and names the
    origin again after a repair.
    """
    folders = tuple(f"{load.root}/" for load in loads)

    def wanted(path: str, copy: bytes) -> bool:
        return path.startswith(folders) and path.endswith((*_TEXTS, _PAGE)) and names_any(copy, needles)

    for path, copy in copies_where(storage, wanted).items() if needles else ():
        if storage.stat(path) is None or storage.read(path) != copy:
            storage.replace(path, copy)


def _delete_reports(storage: Storage, needles: Collection[bytes]) -> Iterator[str]:
    for file in list(storage.walk(FSCK)):
        if names_any(storage.read(file.path), needles):
            storage.delete(file.path)
            yield file.path


def _delete(storage: Storage, load: Load, doomed: Doomed) -> Iterator[str]:
    for bucket in sorted(doomed.buckets):
        for held in (load.landings, load.plan_origins, load.plan_refs):
            folder = f"{held}/bucket={bucket}"
            if storage.delete(folder, recursive=True):
                yield folder
        for attempt in storage.list(f"{load.quarantine}/bucket={bucket}"):
            files = storage.walk(attempt.path) if attempt.is_dir else [attempt]
            if any(_is_doomed(storage, file.path, doomed) for file in files):
                # All of it: it may hold objects of the origin that no table ever had, so no tombstone names them.
                storage.delete(attempt.path, recursive=True)
                yield attempt.path


def _delete_page(storage: Storage, load: Load, needles: Collection[bytes]) -> Iterator[str]:
    """Delete a night's report if it, or the summary that it shows, names an origin: a page may spell it otherwise."""
    if storage.stat(load.report) is None:
        return
    shown = (path for path in (load.report, load.night_summary) if storage.stat(path) is not None)
    if any(names_any(storage.read(path), needles) for path in shown):
        storage.delete(load.report)
        yield load.report


def _is_doomed(storage: Storage, path: str, doomed: Doomed) -> bool:
    """Whether evidence holds doomed rows, or cannot be read: damaged files are kept there."""
    if path.endswith(".json"):
        return _parsed(storage.read(path)) is None
    table = landed_table(path)
    if table not in BY_NAME:
        return True
    try:
        with open_parquet_file(storage, path) as file:
            batches = file.iter_batches(KEY_ROWS, columns=list(KEY_COLUMNS[table]))
            return any(pc.any(doomed.rows(table, batch)).as_py() for batch in batches)
    except UNREADABLE:
        return True


def _scrub(storage: Storage, load: Load, urls: Collection[str], needles: Collection[bytes]) -> Iterator[str]:
    for file in list(storage.walk(load.root)):
        if not file.path.endswith(_TEXTS):
            continue
        before = storage.read(file.path)
        after = _without(file.path, before, urls) if names_any(before, needles) else before
        if after is None:
            storage.delete(file.path)
        elif after != before:
            storage.replace(file.path, after)
        else:
            continue
        yield file.path


def _without(path: str, text: bytes, urls: Collection[str]) -> bytes | None:
    """The new content of a file; None if it cannot be parsed."""
    if path.endswith(".txt"):
        return b"".join(line for line in text.splitlines(keepends=True) if _first_word(line) not in urls)
    document = _parsed(text)
    return None if document is None else json.dumps(without(document, urls), indent=1).encode()


def _parsed(text: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """A JSON document; None if it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _first_word(line: bytes) -> str:
    return line.decode(errors="replace").partition(" ")[0].strip()


def without(value: Any, urls: Collection[str]) -> Any:  # noqa: ANN401 - any JSON value
    """A JSON document without the records, in lists, of some origins."""
    if isinstance(value, dict):
        return {key: without(item, urls) for key, item in value.items()}
    if isinstance(value, list):
        return [without(item, urls) for item in value if not (isinstance(item, dict) and _is_about(item, urls))]
    return value


def _is_about(record: dict[str, Any], urls: Collection[str]) -> bool:
    return any(record.get(key) in urls for key in _NAMING)
