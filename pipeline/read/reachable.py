"""Which of a network's objects belong to one repository: those that its refs lead to."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.fetch.skeleton import Skeleton
from pipeline.model.links import commit_links, tag_link
from pipeline.model.objects import COMMIT, TREE, ObjectType
from pipeline.model.tree import entries_before_damage, kind_of


def reachable(skeleton: Skeleton, tips: Iterable[bytes]) -> set[bytes]:
    """Ids of everything that the tips lead to, blobs included, whether they are there or not.

    Args:
        skeleton: commits, tags and trees of the network.
        tips: ids that refs name.
    """
    seen: set[bytes] = set()
    todo = list(tips)
    while todo:
        oid = todo.pop()
        if oid in seen:
            continue
        seen.add(oid)
        found = skeleton.get(oid)
        if found is not None:
            todo.extend(link for link in links(found.type, found.body) if link not in seen)
    return seen


def links(type_: ObjectType, data: bytes) -> Iterable[bytes]:
    """What a commit, tree or tag leads to: what restoring needs besides it."""
    if type_ is COMMIT:
        links = commit_links(data)
        return links.parents if links.tree is None else [links.tree, *links.parents]
    if type_ is TREE:
        return [oid for mode, _, oid in entries_before_damage(data) if kind_of(mode) != "gitlink"]
    target = tag_link(data).target
    return () if target is None else (target,)
