"""The contents of ``runs/``: which loads are published, which are complete, and what they left behind."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from pipeline.context.archive import named_loads
from pipeline.maintain.rubbish import Rubbish, Why
from pipeline.model.layout import RESULTS, WAREHOUSE, Load
from pipeline.model.tables import ALL, NAMESPACE
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Entry, Storage
from pipeline.storage.paths import is_temporary

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadState:
    """How far a load got; folders are given by their paths."""

    load: Load
    published: bool
    complete: bool
    folders: frozenset[str]

    @property
    def landing(self) -> str:
        """The folder of all its landings; need not exist."""
        return self.load.landings

    @property
    def plan_folder(self) -> str:
        """The folder of its plan; need not exist."""
        return f"{self.load.root}/plan"

    @property
    def quarantine(self) -> str:
        """The folder of files that an audit left out; need not exist."""
        return self.load.quarantine


def load_states(storage: Storage, but: Collection[str] = ()) -> list[LoadState]:
    """All started loads but these, by name. Folders that belong to no load are ignored."""
    return [_state(storage, load) for load in named_loads(storage) if load.name not in but]


def plans_unpublished(storage: Storage, states: Iterable[LoadState]) -> dict[Load, float]:
    """Loads that are planned and not published, with the seconds since 1970 UTC when their plan was finished."""
    plans = {state.load: storage.stat(state.load.plan) for state in states if not state.published}
    return {load: plan.modified_at for load, plan in plans.items() if plan is not None}


def may_renew(states: Iterable[LoadState]) -> bool:
    """Whether compaction may set ``at_head`` from ``head_blobs``, which lacks those of an unfinished load."""
    unfinished = [state.load.name for state in states if not state.complete]
    if unfinished:
        logger.warning("%s not finished; at_head is not renewed", ", ".join(unfinished))
    return not unfinished


def _state(storage: Storage, load: Load) -> LoadState:
    entries = storage.list(load.root)
    there = {entry.path for entry in entries}
    return LoadState(
        load=load,
        published=load.published in there,
        complete=load.finished in there,
        folders=frozenset(entry.path for entry in entries if entry.is_dir),
    )


def find_rubbish(
    storage: Storage, states: Sequence[LoadState], *, untouched_since: float, plans_before: date | None
) -> list[Rubbish]:
    """Find files of loads that nobody will open again, ordered by path. Changes nothing.

    The landing of a published load goes at once: all files that its manifests name have been moved, and a fetch task
    that still uploads there has lost to the one whose manifest counted. In the landing of any other load, an attempt
    that no manifest names goes once it has not changed for a while, since its task may run on another host; files that
    a manifest names stay at any age, and so do answers to questions. Unfinished uploads of the same age go, wherever
    they are.

    Args:
        untouched_since: seconds since 1970 UTC; files that changed later may still be in use.
        plans_before: for complete loads of earlier nights, plans and files that audits left out go; None to keep all.
    """
    found: list[Rubbish] = []
    for state in states:
        left = landing_left(storage, state)
        if left is not None:
            found.append(left)
        elif state.landing in state.folders:
            found.extend(_attempts(storage, state, untouched_since))
        if state.complete and plans_before and state.load.night < plans_before:
            old = {state.plan_folder: Why.PLAN, state.quarantine: Why.EVIDENCE}
            found.extend(_folder(storage, path, why) for path, why in old.items() if path in state.folders)
    gone = [f"{rubbish.path}/" for rubbish in found]
    for entry in _files(storage, states):
        if is_temporary(entry.path) and entry.modified_at < untouched_since and not entry.path.startswith(tuple(gone)):
            found.append(Rubbish(entry.path, Why.UPLOAD, 1, entry.size_bytes))
    return sorted(found, key=lambda rubbish: rubbish.path)


def landing_left(storage: Storage, state: LoadState) -> Rubbish | None:
    """The landing of a published load, which nobody needs; None if there is none."""
    if not state.published or state.landing not in state.folders:
        return None
    return _folder(storage, state.landing, Why.LANDING)


def remove(storage: Storage, rubbish: Rubbish) -> None:
    """Delete rubbish; it does no harm if some is gone already."""
    storage.delete(rubbish.path, recursive=rubbish.why in (Why.LANDING, Why.ATTEMPT, Why.PLAN, Why.EVIDENCE))


def _attempts(storage: Storage, state: LoadState, untouched_since: float) -> Iterator[Rubbish]:
    for bucket in storage.list(state.landing):
        if not _is_bucket(bucket):
            continue
        # Attempts first: one whose manifest appears between the two calls is then known to be named.
        attempts = storage.list(bucket.path)
        named = _named_attempts(storage, state.load, bucket)
        for attempt in attempts:
            if attempt.is_dir and attempt.path not in named:
                files = list(storage.walk(attempt.path))
                newest = max([attempt.modified_at, *(file.modified_at for file in files)])
                if newest < untouched_since:
                    size_bytes = sum(file.size_bytes for file in files)
                    yield Rubbish(attempt.path, Why.ATTEMPT, len(files), size_bytes)


def _named_attempts(storage: Storage, load: Load, bucket_folder: Entry) -> set[str]:
    """The folders that the bucket's manifest, or a verdict that replaces it, names."""
    bucket = int(bucket_folder.path.rpartition("=")[2])
    own = f"{load.audits}/{bucket}-"
    verdicts = [entry.path for entry in storage.list(load.audits) if entry.path.startswith(own)]
    named = set()
    for path in (load.manifest(bucket), *verdicts):
        with suppress(FileMissing, StoredFileDamaged):  # a damaged manifest names nothing, and is made again
            document = read_document(storage, path, json.loads)
            named.add(load.landing(bucket, str(document.get("manifest", document)["run_id"])))
    return named


def _folder(storage: Storage, path: str, why: Why) -> Rubbish:
    sizes = [file.size_bytes for file in storage.walk(path)]
    return Rubbish(path, why, len(sizes), sum(sizes))


def _files(storage: Storage, states: Sequence[LoadState]) -> Iterator[Entry]:
    """Files in every place of uploads."""
    yield from (entry for entry in storage.list() if not entry.is_dir)
    yield from storage.walk(RESULTS)
    for state in states:
        yield from storage.walk(state.load.root)
    for table in ALL:
        for folder in storage.list(f"{WAREHOUSE}/{NAMESPACE}/{table.name}/data"):
            if _is_bucket(folder):  # where rewritten files are uploaded; landed ones are moved to their load's folder
                yield from storage.list(folder.path)


def _is_bucket(entry: Entry) -> bool:
    return entry.is_dir and entry.path.rpartition("/")[2].startswith("bucket=")
