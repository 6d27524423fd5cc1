"""Which listed repositories become origins. Touches no table."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.model.pattern import OptOuts

TAKEN_DOWN = "taken_down"
OPTED_OUT = "opted_out"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What may become an origin: what the forge's configuration says, and what people keep out for good.

    Attributes:
        forks, archived: whether forks and read-only repositories may.
        largest_bytes: larger ones may not; None for any size.
        only: if there is any, others may not.
        without, opted_out, taken_down: these may not.
    """

    forks: bool
    archived: bool
    largest_bytes: int | None
    only: OptOuts
    without: OptOuts
    opted_out: OptOuts
    taken_down: OptOuts


def kept_out(wanted: Wanted, url: str) -> str | None:
    """Whether people keep a repository out for good: the word for it, or None."""
    if wanted.taken_down.rule_for(url) is not None:
        return TAKEN_DOWN
    return OPTED_OUT if wanted.opted_out.rule_for(url) is not None else None


def refusal(
    wanted: Wanted,
    url: str,
    *,
    fork: bool | None,
    archived: bool | None,
    private: bool | None,
    empty: bool | None,
    size_bytes: int | None,
) -> str | None:
    """Why a listed repository does not become an origin, as one word; None if it does.

    What the forge does not say counts as no. An empty repository has nothing to fetch: it becomes an origin once a
    listing shows that it is empty no longer.
    """
    reasons = {
        "private": private,
        "empty": empty,
        "fork": fork and not wanted.forks,
        "archived": archived and not wanted.archived,
        "too_large": wanted.largest_bytes is not None and (size_bytes or 0) > wanted.largest_bytes,
        "filtered": bool(wanted.only) and wanted.only.rule_for(url) is None,
        "without": wanted.without.rule_for(url) is not None,
    }
    return kept_out(wanted, url) or next((word for word, holds in reasons.items() if holds), None)
