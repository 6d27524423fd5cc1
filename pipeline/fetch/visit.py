"""One visit: ask an origin, decode what it sends, land what the archive lacks. All or nothing."""

from __future__ import annotations

import errno
import time
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from pipeline.fetch.confine import Confinement
from pipeline.fetch.messages import Outcome, Question, RefsChanged
from pipeline.fetch.network_state import NetworkState
from pipeline.fetch.outbox import Outbox
from pipeline.fetch.quota import ScratchQuota
from pipeline.fetch.skeleton import MOST_OBJECT_BYTES, Skeleton
from pipeline.git.conditions import Conditions
from pipeline.git.errors import BasesMissing, LimitExceeded, OriginError, PackIncomplete
from pipeline.git.exchange import Received, exchange
from pipeline.git.host_turn import HostTurn
from pipeline.git.limits import Limits
from pipeline.git.network import Deadline
from pipeline.git.pack import Pack
from pipeline.git.pack_format import PackedObject
from pipeline.git.scanned_pack import MAX_OBJECTS
from pipeline.model import tables
from pipeline.model.errors import ScratchFailed
from pipeline.model.objects import BLOB, COMMIT, TREE
from pipeline.model.rows import (
    BlobRow,
    ContentRow,
    TreeRow,
    blob_names,
    commit_row,
    committer_time,
    is_binary,
    tag_row,
)
from pipeline.model.text import text_and_raw
from pipeline.model.visit import MOVED, TAKEN_DOWN, Visit, VisitStatus
from pipeline.model.visit_counts import DAMAGED
from pipeline.rules.commit_dates import CommitDates
from pipeline.rules.kinship import Tips
from pipeline.rules.negotiation import HEAD, FetchPlan, Ref, changed_refs, describe_left_out
from pipeline.rules.ref_digest import NO_REFS, digest_of
from pipeline.rules.walk import MOST_PATH_BYTES, MOST_PATHS, count_paths
from pipeline.storage.errors import StoredFileDamaged

_Answer = TypeVar("_Answer")


class _Bounds(NamedTuple):
    """The limits that end a visit, and its start, which limits the dates of commits."""

    started: datetime
    deadline: Deadline
    quota: ScratchQuota
    confinement: Confinement
    turn: HostTurn


class _Absorbed(NamedTuple):
    fresh: set[bytes]
    too_large: int
    taken_down: int
    tag_targets: Mapping[bytes, bytes]
    dates: CommitDates


class Visitor:
    """Visits origins of one bucket, one after the other, in a dedicated process.

    Args:
        bucket: bucket of all origins.
        night: logical date, for the rows.
        run_id: for the rows.
        outbox: destination of the rows.
        conditions: conditions of every conversation.
        scratch: folder for packs and the like, emptied after each visit.
    """

    def __init__(
        self, bucket: int, night: date, run_id: str, outbox: Outbox, conditions: Conditions, scratch: Path
    ) -> None:
        self._bucket, self._night, self._run_id = bucket, night, run_id
        self._outbox, self._conditions, self._scratch = outbox, conditions, scratch
        self._spool = scratch / "received.pack"

    def visit(self, state: NetworkState, url: str, confinement: Confinement) -> Outcome:
        """Visit one origin. Returns whatever the origin does; only failures of our own machine are raised.

        Args:
            confinement: the kernel's limits, already in force.

        Raises:
            ScratchFailed, OSError: scratch cannot be written, and this visit did not fill it.
            StorageUnavailable: the archive cannot be read now.
        """

        def attempt(bounds: _Bounds, finish: partial[Visit]) -> Outcome:
            try:
                return self._attempt(state, url, bounds, finish, alone=False)
            except BasesMissing:
                bounds.quota.clear()
                return self._attempt(state, url, bounds, finish, alone=True)

        return self._within_limits(state.network, url, confinement, attempt)

    def ask(self, question: Question, confinement: Confinement) -> Outcome | RefsChanged:
        """Ask one origin for its refs. Returns and raises like ``visit``, except if there is something to land."""

        def attempt(bounds: _Bounds, finish: partial[Visit]) -> Outcome | RefsChanged:
            received = exchange(bounds.turn, _want_nothing, self._spool, self._conditions)
            if digest_of(received.refs) != question.digest:
                return RefsChanged(Tips.of(received.refs, received.peeled) if question.digest == NO_REFS else None)
            return Outcome(finish(VisitStatus.UNCHANGED, *_remark(received)))

        return self._within_limits(question.network, question.url, confinement, attempt)

    def _within_limits(
        self,
        network: int,
        url: str,
        confinement: Confinement,
        attempt: Callable[[_Bounds, partial[Visit]], _Answer],
    ) -> _Answer | Outcome:
        limits = self._conditions.limits
        started, clock = datetime.now(UTC), time.monotonic()
        finish = partial(self._finish, network, url, started, clock)
        quota = ScratchQuota(self._scratch, limits.scratch_bytes)
        try:
            with _blamed_on(limits, quota), Deadline(limits.total_s) as deadline:
                turn = self._turn(url, deadline)
                turn.look_ahead()
                return attempt(_Bounds(started, deadline, quota, confinement, turn), finish)
        except OriginError as error:
            return Outcome(finish(error.status, error.code, error.why))
        except StoredFileDamaged as error:
            return Outcome(finish(VisitStatus.FAILED, DAMAGED, str(error)))

    def _turn(self, url: str, deadline: Deadline) -> HostTurn:
        return HostTurn(self._conditions.hosts, url, deadline, self._night.toordinal(), self._outbox.waits_for_host)

    def _finish(
        self,
        network: int,
        url: str,
        started: datetime,
        clock: float,
        status: VisitStatus,
        error: str | None = None,
        detail: str | None = None,
        pack_bytes: int = 0,
        objects: int = 0,
        dates: CommitDates | None = None,
    ) -> Visit:
        took = round(time.monotonic() - clock, 6)
        return Visit(
            self._bucket, network, url, self._night, self._run_id, status, error, detail, started, took,
            pack_bytes, objects, *((None, 0) if dates is None else (dates.newest, dates.days)),
        )  # fmt: skip

    def _attempt(
        self, state: NetworkState, url: str, bounds: _Bounds, finish: partial[Visit], *, alone: bool
    ) -> Outcome:
        spool = self._spool
        try:
            if state.read() and len(digests := list(state.digests())) > 1:  # others may ask the rest meanwhile
                self._outbox.survey(b"".join(digests))
            state.check(url)
            decide = partial(state.decide, url, alone=alone)
            received = exchange(bounds.turn, decide, spool, self._conditions, bounds.quota.take)
            if state.is_unchanged(url, received.refs):
                return Outcome(finish(VisitStatus.UNCHANGED, *_remark(received)))
            before = state.refs_before(url)
            bounds.confinement.allow(received.pack_bytes)
            with self._outbox.turn(bounds.deadline, bounds.quota.take, bounds.confinement.allow):
                absorbed = self._absorb(state, received, spool, bounds)
                changed = changed_refs(received.refs, before)
                peeled = self._peel(state, changed.values(), absorbed, bounds.deadline)
                self._land_refs(state.network, url, changed, peeled)
            state.finished(url, received.refs, absorbed.fresh, absorbed.tag_targets)
        finally:
            spool.unlink(missing_ok=True)
        visit = finish(
            VisitStatus.PARTIAL if absorbed.too_large or absorbed.taken_down else VisitStatus.FULL,
            *_remark(received, absorbed.too_large, absorbed.taken_down),
            pack_bytes=received.pack_bytes,
            objects=len(absorbed.fresh),
            dates=absorbed.dates,
        )
        return Outcome(visit)

    def _absorb(self, state: NetworkState, received: Received, spool: Path, bounds: _Bounds) -> _Absorbed:
        targets = {ref.target for ref in received.refs.values() if ref.target is not None}
        dates = CommitDates(bounds.started)
        if received.pack_bytes == 0:
            return _Absorbed(set(), 0, 0, {}, dates)
        limits, check, take = self._conditions.limits, bounds.deadline.check, bounds.quota.take
        with (
            Pack(spool, limits=limits, scratch=self._scratch, check=check, take=take) as pack,
            Skeleton(self._scratch, take) as skeleton,
        ):
            head = received.refs.get(HEAD)
            task = _Absorbing(self._bucket, state, self._outbox, skeleton, head, targets, dates)
            for found in pack.objects(partial(state.known.load, state.network), skeleton.name_of):
                check()
                if found.type is BLOB:
                    task.blob(found)
                elif found.size > MOST_OBJECT_BYTES:
                    raise LimitExceeded(f"a commit, tag or tree has more than {MOST_OBJECT_BYTES} bytes")
                else:
                    assert found.data is not None
                    skeleton.add(found.type, found.oid, found.data)
                    if skeleton.named > MAX_OBJECTS:
                        raise LimitExceeded(f"trees and commits name more than {MAX_OBJECTS} objects")
            lacking = task.close()
            if lacking:
                raise PackIncomplete(
                    f"the pack lacks {len(lacking)} objects that it names, for example {min(lacking).hex()}"
                )
            return _Absorbed(task.fresh, task.too_large, task.taken_down, dict(skeleton.tag_targets), dates)

    def _peel(
        self, state: NetworkState, changed: Iterable[Ref], absorbed: _Absorbed, deadline: Deadline
    ) -> dict[bytes, bytes]:
        """Annotated tags among the changed refs' targets, and their final targets."""
        tags = ChainMap({}, dict(absorbed.tag_targets), state.tags)
        targets = {ref.target for ref in changed if ref.target is not None}
        ends: dict[bytes, bytes] = {}
        asked: set[bytes] = set()
        while True:
            for target in targets:
                deadline.check()
                _follow(target, tags, ends)
            unknown = {ends[target] for target in targets} - absorbed.fresh - state.landed - asked
            found = state.known.tags(state.network, unknown)
            if not found:
                return {target: ends[target] for target in targets if ends[target] != target}
            tags.update(found)
            asked |= unknown

    def _land_refs(self, network: int, url: str, changed: Mapping[bytes, Ref], peeled: Mapping[bytes, bytes]) -> None:
        for name, ref in sorted(changed.items()):
            row = (
                self._bucket, network, url, self._night, *text_and_raw(name), ref.target,
                None if ref.target is None else peeled.get(ref.target),
                *((None, None) if ref.symref is None else text_and_raw(ref.symref)),
            )  # fmt: skip
            self._outbox.add(tables.REFS, row)


def _want_nothing(advertised: Mapping[bytes, bytes]) -> FetchPlan:
    return FetchPlan((), ())


def _follow(oid: bytes, tags: Mapping[bytes, bytes], ends: dict[bytes, bytes]) -> None:
    """Record the end of a chain of tags for each tag on the way: a chain with a ref on every tag is followed once."""
    way: dict[bytes, None] = {}
    while oid not in way:
        way[oid] = None
        oid = ends.get(oid, oid)
        oid = tags.get(oid, oid)
    ends.update(dict.fromkeys(way, oid))


@contextmanager
def _blamed_on(limits: Limits, quota: ScratchQuota) -> Iterator[None]:
    """Blame the visit if memory runs out, or if scratch is full and the visit filled it."""
    try:
        yield
    except MemoryError:
        raise LimitExceeded(f"the visit needs more than {limits.memory_bytes} bytes of memory") from None
    except (ScratchFailed, OSError) as error:
        full = isinstance(error, ScratchFailed) or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if full and quota.is_large:
            raise LimitExceeded(f"scratch is full while the visit holds {quota.held_bytes} bytes of it") from error
        raise


def _remark(received: Received, too_large: int = 0, taken_down: int = 0) -> tuple[str | None, str | None]:
    """``error`` and ``detail`` of a visit that ended well, but did not archive everything that was shown."""
    notes = [f"{too_large} blobs are over the size limit"] if too_large else []
    if taken_down:
        notes.append(f"{taken_down} objects were taken down and are left out")
    if received.left_out:
        notes.append(describe_left_out(received.left_out))
    if received.moved_to is not None:
        notes.append(f"moved to {received.moved_to}")
    if not notes:
        return None, None
    code = "too_large" if too_large else TAKEN_DOWN if taken_down else "refs_left_out" if received.left_out else MOVED
    return code, "; ".join(notes)


class _Absorbing:
    """Lands one pack: first the complete skeleton, then each blob as it comes."""

    def __init__(
        self,
        bucket: int,
        state: NetworkState,
        outbox: Outbox,
        skeleton: Skeleton,
        head: Ref | None,
        targets: set[bytes],
        dates: CommitDates,
    ) -> None:
        self._place = bucket, state.network
        self._state, self._outbox, self._skeleton = state, outbox, skeleton
        self._head, self._targets, self._dates = head, targets, dates
        self._archived: set[bytes] | None = None
        self._at_head: set[bytes] = set()
        self.fresh: set[bytes] = set()
        self.too_large = self.taken_down = 0

    def blob(self, found: PackedObject) -> None:
        if self._archived is None:
            self._archived = self._land_skeleton()
        oid = found.oid
        name = self._skeleton.names.pop(oid, None)
        if oid in self._archived or oid in self.fresh:
            return
        self.fresh.add(oid)
        text, ext = blob_names(name)
        data = found.data
        binary = is_binary(data) if data is not None else True
        gone = oid in self._state.taken_down
        stored = TAKEN_DOWN if gone else "yes" if data is not None else "too_large"
        row = BlobRow(*self._place, oid, found.sha256, found.size, name=text, ext=ext, is_binary=binary, stored=stored)
        self._outbox.add(tables.BLOBS, row)
        if gone:
            self.taken_down += 1
            return
        if data is None:
            self.too_large += 1
            return
        at_head = oid in self._at_head
        content = ContentRow(*self._place, oid, found.size, ext=ext, name=text, at_head=at_head, content=data)
        self._outbox.add(tables.CONTENTS, content, found.size, found.packed_bytes)

    def close(self) -> set[bytes]:
        """Land what is left; returns the ids that are named but neither here nor archived."""
        if self._archived is None:
            self._archived = self._land_skeleton()
        here = self._skeleton
        named = (here.needed() | here.names.keys() | self._targets) - self._state.taken_down
        return {oid for oid in named if oid not in here and oid not in self.fresh and oid not in self._archived}

    def _land_skeleton(self) -> set[bytes]:
        skeleton, (bucket, network), outbox = self._skeleton, self._place, self._outbox
        archived = self._state.which_archived(
            skeleton.needed() | skeleton.names.keys() | self._targets | set(skeleton.ids())
        )
        root = self._head_tree()
        self._check_paths(root)
        trees, self._at_head = skeleton.head_members(root)
        for type_, oid, data in skeleton.objects():
            if oid in archived:
                continue
            if oid in self._state.taken_down:
                self.taken_down += 1
                continue
            self.fresh.add(oid)
            if type_ is TREE:
                outbox.add(tables.TREES, TreeRow(bucket, network, oid, oid in trees, data), len(data))
            elif type_ is COMMIT:
                row = commit_row(bucket, network, oid, data)
                self._dates.add(committer_time(row))
                outbox.add(tables.COMMITS, row, len(data))
            else:
                outbox.add(tables.TAGS, tag_row(bucket, network, oid, data), len(data))
        return archived

    def _check_paths(self, root: bytes | None) -> None:
        """Limit the paths at HEAD: a dozen small trees can name more than fit on any disk."""
        if root is None:
            return
        paths, path_bytes = count_paths(root, self._skeleton.trees())
        if paths > MOST_PATHS or path_bytes > MOST_PATH_BYTES:
            raise LimitExceeded(
                f"HEAD has more than {MOST_PATHS} paths, or they take more than {MOST_PATH_BYTES} bytes"
            )

    def _head_tree(self) -> bytes | None:
        if self._head is None or self._head.target is None:
            return None
        at, seen = self._head.target, set()
        while at not in seen:
            seen.add(at)
            at = self._skeleton.tag_targets.get(at, at)
        return self._skeleton.tree_of(at)
