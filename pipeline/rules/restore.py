"""Decide how to write the refs of a night into a repository. Touches no file and no table."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.rules.negotiation import HEAD, Ref, is_ref_name

_LONGEST_PART: Final = 255
_LONGEST_PATH: Final = 2048
_NEVER_SHOWN: Final = (b"refs/heads/master", b"refs/heads/main")


@dataclass(frozen=True, slots=True)
class Head:
    """The content of HEAD: the full name of a ref, which may be unborn, or the id of an object."""

    ref: bytes | None = None
    oid: bytes | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Refs as written.

    Attributes:
        refs: full name to id, including symbolic refs but not HEAD.
        symrefs: symbolic refs to the ref they name, which is a plain one of ``refs`` or a detached HEAD.
        head: HEAD.
        left_out: names that git refuses, which a night before this rule may have archived.
        not_stored: names, possibly HEAD, of refs to objects that the archive does not keep.
        plain: names, possibly HEAD, of symbolic refs written as plain ones: the ref they name showed another object, or
            its path is too long for git.
    """

    refs: dict[bytes, bytes]
    symrefs: dict[bytes, bytes]
    head: Head
    left_out: tuple[bytes, ...]
    not_stored: tuple[bytes, ...]
    plain: tuple[bytes, ...]


def lay_out(shown: Mapping[bytes, Ref], not_stored: Container[bytes] = frozenset()) -> Layout:
    """Lay out the kept refs so that git shows them as the server did.

    A ref that is not archived but named by a symbolic one existed too and showed the same object, so it is written as
    well. If a server showed a symbolic ref and its target with two objects, each keeps its own: an object matters more
    than a link. Servers name the last ref of a chain of links, so this includes a link to a link.

    Args:
        shown: archived refs, by full name.
        not_stored: 20-byte ids of known objects that the archive does not keep.
    """
    left_out = {name for name in shown if name != HEAD and not is_ref_name(name)}
    left_out |= {ref.symref for ref in shown.values() if ref.symref is not None and not _is_link(ref.symref)}
    lacking = {
        name
        for name, ref in shown.items()
        if name not in left_out and ref.target is not None and ref.target in not_stored
    }
    there = {name: ref for name, ref in shown.items() if name not in left_out and name not in lacking}
    named = {name: ref.target for name, ref in there.items() if ref.target is not None}
    links = {name: ref.symref for name, ref in there.items() if ref.symref is not None and _is_link(ref.symref)}
    symrefs: dict[bytes, bytes] = {}
    plain: list[bytes] = []
    for name in sorted(links, key=lambda link: (link != HEAD, link)):
        target, to = named.get(name), links[name]
        if target is None:
            continue
        if to not in there and to not in lacking and to != HEAD and _is_path(to):
            named.setdefault(to, target)
        if named.get(to) == target and to not in links and _is_path(to):
            symrefs[name] = to
        else:
            plain.append(name)
    head = _head(shown.get(HEAD), named.pop(HEAD, None), symrefs.pop(HEAD, None), named)
    return Layout(named, symrefs, head, tuple(sorted(left_out)), tuple(sorted(lacking)), tuple(plain))


def _is_path(name: bytes) -> bool:
    """Whether git finds a ref by this name: it looks for a file before it reads packed refs."""
    return len(name) <= _LONGEST_PATH and max(map(len, name.split(b"/"))) <= _LONGEST_PART


def _is_link(name: bytes) -> bool:
    return name == HEAD or is_ref_name(name)


def _head(shown: Ref | None, oid: bytes | None, symref: bytes | None, refs: Container[bytes]) -> Head:
    """HEAD as written, from the shown HEAD, its object unless missing, and its link if valid."""
    if symref is not None:
        return Head(ref=symref)
    if oid is not None:
        return Head(oid=oid)
    named = None if shown is None else shown.symref
    if (
        named is not None
        and is_ref_name(named)
        and _is_path(named)
        and (named not in refs or shown == Ref(None, named))
    ):
        return Head(ref=named)
    return Head(ref=_unborn(refs))


def _unborn(refs: Container[bytes]) -> bytes:
    """The branch that HEAD names if the server showed no HEAD; it must not exist, or HEAD would show a commit."""
    for name in _NEVER_SHOWN:
        if name not in refs:
            return name
    number = 0
    while (name := b"refs/heads/unborn-%d" % number) in refs:
        number += 1
    return name
