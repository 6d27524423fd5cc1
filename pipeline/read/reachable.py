"""The objects of a network that belong to one repository: those that its refs lead to."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.fetch.skeleton import Skeleton
from pipeline.model.links import commit_links, tag_link
from pipeline.model.objects import COMMIT, TREE, ObjectType
from pipeline.model.tree import entries_before_damage, kind_of


def reachable(skeleton: Skeleton, tips: Iterable[bytes]) -> set[bytes]:
    """Ids of everything that the tips lead to, including blobs and missing objects.

    Args:
        skeleton: commits, tags and trees of the network.
        tips: ids named by refs.
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
    """The ids that a commit, tree or tag leads to, which restoring it also needs."""
    if type_ is COMMIT:
        links = commit_links(data)
        return links.parents if links.tree is None else [links.tree, *links.parents]
    if type_ is TREE:
        return [oid for mode, _, oid in entries_before_damage(data) if kind_of(mode) != "gitlink"]
    target = tag_link(data).target
    return () if target is None else (target,)
