"""What GitHub's GraphQL says of repositories that a REST page has shown, HEAD ids among it: questions and answers.

An answer is an object with ``data.nodes``, a repository or null for each id, in their order, and ``errors``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from pipeline.fetch.forges.cursor import BadPage, Held
from pipeline.fetch.forges.items import (
    BadItem,
    Item,
    clone_url,
    document_of,
    number,
    parent_of,
    part_of,
    scaled,
    text,
    truth,
    when,
)
from pipeline.model.listing import Listing
from pipeline.model.page import Page

MOST_ASKED = 100
"""Ids of a question: GitHub takes no more."""

QUESTION = """\
query($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on Repository {
      databaseId url isFork isArchived isEmpty isMirror visibility diskUsage pushedAt stargazerCount
      licenseInfo { spdxId }
      parent { databaseId url }
      defaultBranchRef { name target { oid } }
    }
  }
}"""

_LIMITS = ("RATE_LIMIT", "RATE_LIMITED")
"""Types of errors that say that the points of the hour are spent: GitHub has used both."""

_LIMIT = re.compile(r"\b(?:secondary rate limit|abuse detection)\b", re.IGNORECASE)
"""What only a message says: GitHub asks for a pause, however many points are left."""

_FINAL = ("NOT_FOUND", "FORBIDDEN")
"""Types of errors with which a null node stays null, however often it is asked for."""

_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def address_of(base: str) -> str:
    """Where GraphQL is asked, by the URL of the REST interface: that of GitHub Enterprise Server has a version.

    >>> address_of("https://api.github.com"), address_of("https://git.example.org/api/v3")
    ('https://api.github.com/graphql', 'https://git.example.org/api/graphql')
    """
    return f"{base.removesuffix('/v3')}/graphql"


def question(asked: Sequence[Held]) -> bytes:
    """What to post."""
    return json.dumps({"query": QUESTION, "variables": {"ids": [each.node for each in asked]}}).encode()


def is_limit(page: Page) -> bool:
    """Whether an answer says that we ask too much: GitHub says so in a 200, too."""
    try:
        document = document_of(page)
    except BadPage:
        return False
    if not isinstance(document, dict):
        return False
    errors = _errors(document)
    messages = [document.get("message"), *(error.get("message") for error in errors)]
    return any(error.get("type") in _LIMITS for error in errors) or any(
        isinstance(message, str) and _LIMIT.search(message) for message in messages
    )


def answered(page: Page, asked: Sequence[Held], hosts: Collection[str]) -> tuple[tuple[Listing, ...], dict[str, int]]:
    """A listing for each repository that was asked for, and how many answers cannot be used, by reason.

    Of those the REST page's listing stands.

    Args:
        hosts: as in ``clone_url``.

    Raises:
        BadPage: it answers another question, or not all of it.
    """
    document = document_of(page)
    data = document.get("data") if isinstance(document, dict) else None
    nodes = data.get("nodes") if isinstance(data, dict) else None
    if not isinstance(nodes, list) or len(nodes) != len(asked):
        raise BadPage("it has no answer, or not one to each question")
    if any(error.get("type") not in _FINAL for error in _errors(document)):
        raise BadPage("it says that something went wrong")
    bad: Counter[str] = Counter()
    listings = []
    for held, node in zip(asked, nodes, strict=True):
        try:
            listings.append(_listing(held.listing, node, hosts))
        except BadItem as error:
            bad[str(error)] += 1
            listings.append(held.listing)
    return tuple(listings), dict(bad)


def _errors(document: Item) -> list[Item]:
    found = document.get("errors")
    if not found:
        return []
    return [error if isinstance(error, dict) else {} for error in found] if isinstance(found, list) else [{}]


def _listing(shown: Listing, node: Any, hosts: Collection[str]) -> Listing:  # noqa: ANN401 - JSON
    if node is None:
        raise BadItem("no details")
    if not isinstance(node, dict):
        raise BadItem("no object")
    if node.get("databaseId") not in (None, int(shown.forge_id)):
        raise BadItem("details of another id")
    branch, parent = part_of(node, "defaultBranchRef"), part_of(node, "parent")
    parent_id, parent_url = parent_of(number(parent, "databaseId"), parent, "url", hosts)
    seen_as = text(node, "visibility")
    return Listing(
        forge_id=shown.forge_id,
        url=clone_url(node, "url", hosts),
        fork=truth(node, "isFork"),
        parent_id=parent_id,
        parent_url=parent_url,
        archived=truth(node, "isArchived"),
        private=None if seen_as is None else seen_as != "PUBLIC",
        empty=truth(node, "isEmpty"),
        mirror=truth(node, "isMirror"),
        size_bytes=scaled(node, "diskUsage", 1024) or None,
        default_branch=text(branch, "name"),
        license=text(part_of(node, "licenseInfo"), "spdxId"),
        stars=number(node, "stargazerCount"),
        changed_at=when(node, "pushedAt"),
        head=_oid(part_of(branch, "target").get("oid")),
    )


def _oid(found: object) -> bytes | None:
    return bytes.fromhex(found) if isinstance(found, str) and _OID.fullmatch(found) else None
