"""How long to keep nights, snapshots and unfinished work. Pure functions; times are seconds since 1970 UTC."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

PLAN_MARGIN_S = 3600.0
"""Allowed difference between the clocks of storage and this machine."""


@dataclass(frozen=True, slots=True)
class History:
    """A snapshot of a table, for its age; ``parent`` is None for the first."""

    id: int
    parent: int | None
    committed_at: float


def nights_to_drop(nights: Iterable[date], *, dailies: int, monthlies: int) -> list[date]:
    """The nights to retire, oldest first.

    The newest ``dailies`` nights are kept and, of the older ones, the first of each month for the newest ``monthlies``
    months that have any. Months are calendar months; those without a night do not count. Retired nights are never
    missed later: applied every night or once a year, the same nights remain.

    Args:
        nights: all existing nights, in any order.
        dailies: at least 1, so that the newest night always stays.
        monthlies: 0 for none.
    """
    newest_first = sorted(set(nights), reverse=True)
    older = newest_first[max(dailies, 1) :]
    first_of_month = {(night.year, night.month): night for night in older}
    kept = {first_of_month[month] for month in sorted(first_of_month, reverse=True)[:monthlies]}
    return sorted(set(older) - kept)


def oldest_daily(nights: Iterable[date], dailies: int) -> date | None:
    """The oldest of the newest ``dailies`` nights; None without nights."""
    return min(sorted(set(nights))[-max(dailies, 1) :], default=None)


def tags_to_drop(tagged: Collection[date], nights: Collection[date], dropped: Collection[date]) -> list[date]:
    """The nights whose tags to delete from one table, oldest first.

    Besides the dropped nights, these are leftovers of a killed run: tags of nights that ``origins`` no longer has. A
    tag that is newer than every night of ``origins`` belongs to a night that is being sealed, and stays.

    Args:
        tagged: nights of the table's tags.
        nights: existing nights: the tags of ``origins``.
        dropped: those of them to drop.
    """
    newest = max(nights, default=date.min)
    kept = set(nights) - set(dropped)
    return sorted(night for night in tagged if night not in kept and night < newest)


def keep_since(now: float, age_s: float, unfinished_plans: Iterable[float]) -> float:
    """The time from which on current snapshots and files are kept.

    The plan of an unfinished load names data files that were live when it was written and that its fetch tasks open,
    so nothing that was live then may be deleted, however old the plan is. This also keeps the snapshots from which a
    rerun of Publish knows what it has registered, until the load is published.

    Args:
        age_s: how long a snapshot stays after it was replaced.
        unfinished_plans: when the plans of unpublished loads were written.
    """
    return min([now - age_s, *(planned - PLAN_MARGIN_S for planned in unfinished_plans)])


def published(parents: Mapping[int, int | None], named: Iterable[int]) -> set[int]:
    """The snapshots that some branch or tag names, and all before them; the others were staged and never current.

    Args:
        parents: of each snapshot that is still there.
        named: snapshots that branches or tags name, including the current one.
    """
    found: set[int] = set()
    for snapshot in named:
        at: int | None = snapshot
        while at is not None and at not in found:
            found.add(at)
            at = parents.get(at)
    return found


def snapshots_to_expire(history: Collection[History], named: Collection[int], since: float) -> list[int]:
    """The snapshots that were replaced before ``since`` and that no branch or tag names, oldest first.

    Age counts from when a snapshot was replaced, not from when it was made: a table unchanged for a year has an old
    snapshot that everybody reads. A staged snapshot that never became current has replaced nothing.

    Args:
        named: snapshots that branches or tags name, including the current one.
    """
    current = published({snapshot.id: snapshot.parent for snapshot in history}, named)
    replaced_at: dict[int, float] = {}
    for snapshot in history:
        if snapshot.parent is not None and snapshot.id in current:
            known = replaced_at.get(snapshot.parent, snapshot.committed_at)
            replaced_at[snapshot.parent] = min(known, snapshot.committed_at)
    doomed = [s for s in history if s.id not in named and replaced_at.get(s.id, s.committed_at) < since]
    return [s.id for s in sorted(doomed, key=lambda s: s.committed_at)]


def files_to_delete(
    expired: Collection[int], manifests: Mapping[int, Collection[str]]
) -> tuple[frozenset[str], frozenset[str]]:
    """Split the manifests of a table by whether a remaining snapshot has them.

    Args:
        expired: snapshots to expire.
        manifests: paths of the manifests of every snapshot.

    Returns:
        Those that only expired snapshots have, and those that stay.
    """
    staying = frozenset(path for id_, paths in manifests.items() if id_ not in expired for path in paths)
    going = frozenset(path for id_ in expired for path in manifests[id_])
    return going - staying, staying
