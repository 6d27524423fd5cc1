"""Decide what one origin must send. Touches no network and no table."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

HEAD = b"HEAD"
DEFAULT_PREFIXES = (b"HEAD", b"refs/heads/", b"refs/tags/")
MAX_OFFERS = 256
_SHA1 = re.compile(rb"[0-9a-f]{40}")


class BadAdvertisement(ValueError):
    """A server advertised something that is no SHA-1 object id."""


@dataclass(frozen=True, slots=True)
class Ref:
    """Where a ref stands. ``target`` is a 40-digit id, None for a symref to a ref that does not exist."""

    target: bytes | None
    symref: bytes | None = None


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """What to ask for: 40-digit ids. No wants: ask for no pack."""

    wants: tuple[bytes, ...]
    offers: tuple[bytes, ...]


def wanted_refs(advertised: Mapping[bytes, T], prefixes: Iterable[bytes]) -> dict[bytes, T]:
    """Those of the advertised refs that the configuration wants archived; peeled entries (``^{}``) are dropped."""
    wanted = tuple(prefixes)
    folders = tuple(prefix for prefix in wanted if prefix != HEAD)

    def is_wanted(name: bytes) -> bool:
        if name == HEAD:
            return HEAD in wanted
        return name.startswith(folders) and not name.endswith(b"^{}")

    return {name: ref for name, ref in advertised.items() if is_wanted(name)}


def plan_fetch(
    advertised: Mapping[bytes, bytes],
    archived: Container[bytes],
    offers: Iterable[bytes] = (),
    *,
    max_offers: int = MAX_OFFERS,
) -> FetchPlan:
    """Decide what one origin must send tonight.

    Args:
        advertised: full ref name to 40-digit hexadecimal id, after ``wanted_refs``; may be empty.
        archived: answers whether an object with all it leads to is archived, whichever origin brought it.
        offers: ids to name as common ground, most useful first.
        max_offers: how many of them to send; git itself gives up after 256 without an answer.

    Returns:
        Wants, sorted and distinct, and offers, distinct and in the given order.

    Raises:
        BadAdvertisement: an id is not 40 lower-case hexadecimal digits.
    """
    for name, target in advertised.items():
        if not _SHA1.fullmatch(target):
            raise BadAdvertisement(f"{name!r} has the id {target[:80]!r}")
    wants = tuple(sorted({target for target in advertised.values() if target not in archived}))
    return FetchPlan(wants, tuple(dict.fromkeys(offers))[:max_offers] if wants else ())


def changed_refs(seen: Mapping[bytes, Ref], last: Mapping[bytes, Ref]) -> dict[bytes, Ref]:
    """Refs to record: new and moved ones as they stand, vanished ones with neither target nor symref."""
    changed = {name: ref for name, ref in seen.items() if last.get(name) != ref}
    changed.update({name: Ref(None) for name in last if name not in seen})
    return changed
