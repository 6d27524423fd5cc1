"""Decide what one origin must send. Touches no network and no table."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

Target = TypeVar("Target", bytes, bytes | None)

HEAD = b"HEAD"
MAX_OFFERS = 256
NAMES_SHOWN = 3
SHOWN_CHARACTERS = 60
PEELED = b"^{}"
"""What the name of an annotated tag ends with where a server tells what it finally points at."""

# Forbidden by git-check-ref-format(1) below refs/, so that a name cannot leave its line or its directory.
_FORBIDDEN: Final = re.compile(rb"[\0-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)|[/.]\Z")


@dataclass(frozen=True, slots=True)
class Ref:
    """The state of a ref. ``target`` is an id, None for a symref to a ref that does not exist."""

    target: bytes | None
    symref: bytes | None = None


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """What to request, as ids. Without wants, request no pack."""

    wants: tuple[bytes, ...]
    offers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """The archived refs of a server.

    Attributes:
        refs: refs by full name.
        left_out: names that git refuses, sorted: of refs, and of refs that a symbolic one names. ``git clone`` ignores
            them too.
    """

    refs: dict[bytes, Ref]
    left_out: tuple[bytes, ...]


def is_ref_name(name: bytes) -> bool:
    """Whether git accepts the full name of a ref other than HEAD, as ``git check-ref-format`` judges it."""
    return name.startswith(b"refs/") and not _FORBIDDEN.search(name)


def wanted_refs(advertised: Mapping[bytes, Target], prefixes: Iterable[bytes]) -> dict[bytes, Target]:
    """The advertised refs to archive: those that the configuration wants, with names that git accepts.

    Peeled entries (``^{}``) are not refs.
    """
    return {name: target for name, target in _asked_for(advertised, prefixes).items() if _is_kept(name)}


def shown_refs(
    advertised: Mapping[bytes, bytes | None], symrefs: Mapping[bytes, bytes], prefixes: Iterable[bytes]
) -> Shown:
    """The refs of a server to archive, including symbolic ones.

    A symbolic ref whose target has a refused name is kept as a plain one. One without an object is dropped, except a
    HEAD that names an unborn ref.

    Args:
        advertised: full ref name to id, None for a ref whose target does not exist.
        symrefs: full names of symbolic refs to those of their targets.
        prefixes: prefixes of names that the configuration wants.
    """
    asked = _asked_for(advertised, prefixes)
    funny = {name for name in asked if not _is_kept(name)}
    refs: dict[bytes, Ref] = {}
    for name in asked.keys() - funny:
        target, symref = asked[name], symrefs.get(name)
        if symref == name:
            symref = None
        if symref is not None and not _is_kept(symref):
            funny.add(symref)
            symref = None
        if target is not None or (name == HEAD and symref is not None):
            refs[name] = Ref(target, symref)
    return Shown({name: refs[name] for name in asked if name in refs}, tuple(sorted(funny)))


def describe_left_out(names: Iterable[bytes]) -> str:
    """A sentence about names that were left out, some of them quoted, escaped and cut; "" if there are none."""
    known = list(names)
    if not known:
        return ""
    shown = ", ".join(_shown(name) for name in known[:NAMES_SHOWN])
    more = ", ..." if len(known) > NAMES_SHOWN else ""
    count = "1 ref has a name" if len(known) == 1 else f"{len(known)} refs have names"
    return f"{count} that git refuses, left out: {shown}{more}"


def _shown(name: bytes) -> str:
    text = ascii(name[:SHOWN_CHARACTERS])[2:-1]
    return f"{text[:SHOWN_CHARACTERS]}..." if len(name) > SHOWN_CHARACTERS or len(text) > SHOWN_CHARACTERS else text


def _asked_for(advertised: Mapping[bytes, Target], prefixes: Iterable[bytes]) -> dict[bytes, Target]:
    wanted = tuple(prefixes)
    folders = tuple(prefix for prefix in wanted if prefix != HEAD)

    def is_asked_for(name: bytes) -> bool:
        if name == HEAD:
            return HEAD in wanted
        return name.startswith(folders) and not name.endswith(PEELED)

    return {name: ref for name, ref in advertised.items() if is_asked_for(name)}


def _is_kept(name: bytes) -> bool:
    return name == HEAD or is_ref_name(name)


def plan_fetch(
    advertised: Mapping[bytes, bytes],
    archived: Container[bytes],
    offers: Iterable[bytes] = (),
    *,
    max_offers: int = MAX_OFFERS,
) -> FetchPlan:
    """Decide what one origin must send.

    Args:
        advertised: full ref name to id, after ``wanted_refs``; may be empty.
        archived: whether an object and all it leads to is archived, whichever origin brought it.
        offers: ids to offer as common ground, most useful first.
        max_offers: how many of them to send; git itself gives up after 256 without an answer.

    Returns:
        Wants, sorted and distinct, and offers, distinct and in the given order.
    """
    wants = tuple(sorted({target for target in advertised.values() if target not in archived}))
    return FetchPlan(wants, tuple(dict.fromkeys(offers))[:max_offers] if wants else ())


def changed_refs(seen: Mapping[bytes, Ref], last: Mapping[bytes, Ref]) -> dict[bytes, Ref]:
    """Refs to record: new and moved ones as they are now, vanished ones with neither target nor symref."""
    changed = {name: ref for name, ref in seen.items() if last.get(name) != ref}
    changed.update({name: Ref(None) for name in last if name not in seen})
    return changed
