"""What a worker knows about a network while it visits the network's origins one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from pipeline.fetch.archived import ArchivedIds
from pipeline.fetch.bucket_plan import PlannedOrigin
from pipeline.fetch.common_ground import CommonGround
from pipeline.fetch.planned_refs import PlannedRefs
from pipeline.rules.negotiation import FetchPlan, Ref, plan_fetch
from pipeline.rules.ref_digest import NO_REFS, UNKNOWN, RefDigest, digest_of
from pipeline.storage.errors import StoredFileDamaged


@dataclass(slots=True)
class NetworkState:
    """Archived objects of the network, including those of this task. ``read`` comes first.

    Attributes:
        origins: by URL, in the order of their visits.
        planned: refs as the plan has them.
        taken_down: ids that must not be landed; they count as archived.
        landed: ids that this task has landed for the network.
        tags: annotated tags to targets: final targets for tags that refs of earlier nights showed, else direct ones.
    """

    network: int
    origins: Mapping[str, PlannedOrigin]
    known: ArchivedIds
    planned: PlannedRefs
    taken_down: frozenset[bytes] = frozenset()
    landed: set[bytes] = field(default_factory=set)
    tags: dict[bytes, bytes] = field(default_factory=dict)
    _ground: CommonGround = field(default_factory=CommonGround)
    _digests: dict[str, bytes] | None = None
    _damage: StoredFileDamaged | None = None
    _before: tuple[str, dict[bytes, Ref]] = ("", {})

    def read(self) -> bool:
        """Read the plan's refs of the network; later calls do nothing. Whether this call read them.

        Raises:
            StoredFileDamaged: they cannot be read. Later calls raise it again, without reading.
        """
        if self._damage is not None:
            raise StoredFileDamaged(self._damage.path, self._damage.problem)
        if self._digests is not None:
            return False
        try:
            self._digests = self._read()
        except StoredFileDamaged as error:
            self._damage = error
            raise
        return True

    def _read(self) -> dict[str, bytes]:
        ground, digests = CommonGround(), dict[str, bytes]()
        for url, rows in groupby(self.planned.of(self.network), attrgetter("url")):
            if url in digests:
                raise StoredFileDamaged(self._plan, f"its refs for {url} are not next to each other")
            of_root = url in self.origins and self.origins[url].fork_of is None
            digest = RefDigest()
            for row in rows:
                if row.name is None:
                    continue
                digest.add(row.name, row.ref)
                ground.note(row.name, row.ref, of_root=of_root)
                if row.peeled is not None and row.ref.target is not None:
                    self.tags[row.ref.target] = row.peeled
            digests[url] = digest.value
        self._ground = ground
        return digests

    @property
    def _plan(self) -> str:
        return ", ".join(self.planned.paths) or "the plan"

    def digests(self) -> Iterator[bytes]:
        """The digests of the due origins' refs as of their last good visits; ``UNKNOWN`` for what must be visited."""
        assert self._digests is not None
        for origin in self.origins.values():
            if origin.due:
                yield askable(origin, self._digests.get(origin.url))

    def _digest(self, url: str) -> bytes:
        digest = (self._digests or {}).get(url)
        if digest is None:
            raise StoredFileDamaged(self._plan, f"it has no refs for {url}")
        return digest

    def check(self, url: str) -> None:
        """Ensure that the plan has not lost the refs of an origin: deleted ones would not be noticed.

        Raises:
            StoredFileDamaged: it has.
        """
        self._digest(url)

    def is_unchanged(self, url: str, refs: Mapping[bytes, Ref]) -> bool:
        """Whether these are the refs of the origin's last good visit; always false if there was none."""
        digest = self._digest(url)
        return digest == digest_of(refs) and not (digest == NO_REFS and self.origins[url].first_visit)

    def refs_before(self, url: str) -> Mapping[bytes, Ref]:
        """The refs of an origin's last good visit, read from the plan; those of one origin are kept.

        Raises:
            StoredFileDamaged: they cannot be read.
        """
        if self._digest(url) == NO_REFS:
            return {}
        if self._before[0] != url:
            rows = self.planned.of(self.network, url)
            self._before = url, {row.name: row.ref for row in rows if row.name is not None}
        return self._before[1]

    def decide(self, url: str, advertised: Mapping[bytes, bytes], *, alone: bool) -> FetchPlan:
        """What to request from an origin; with ``alone``, a pack that needs no other objects."""
        return plan_fetch(advertised, self._ground.tips, () if alone else self._offers(url))

    def _offers(self, url: str) -> Iterator[bytes]:
        yield from self._ground.offers(self.refs_before(url))

    def which_archived(self, oids: Iterable[bytes]) -> set[bytes]:
        """The ids that need not be landed again."""
        asked = set(oids)
        here = asked & self.landed
        return here | self.known.which(self.network, asked - here)

    def finished(self, url: str, refs: Mapping[bytes, Ref], fresh: set[bytes], tags: Mapping[bytes, bytes]) -> None:
        """Record that all objects of an origin have landed: its refs are now common ground for its forks.

        Args:
            url: the origin.
            refs: its current refs.
            fresh: ids landed for it.
            tags: the annotated tags among them and their direct targets.
        """
        is_root = self.origins[url].fork_of is None
        if is_root:
            self._ground.renew_root()
        for name in sorted(refs):
            self._ground.note(name, refs[name], of_root=is_root)
        self.landed |= fresh
        self.tags.update(tags)


def askable(origin: PlannedOrigin, digest: bytes | None) -> bytes:
    """The digest of an origin's planned refs if a question can end its visit, else ``UNKNOWN``.

    Args:
        digest: None if the plan has no refs for it.
    """
    return UNKNOWN if digest is None or (digest == NO_REFS and origin.first_visit) else digest
