"""GitHub's GraphQL in front of a model of a forge: questions and answers are held to GitHub's own schema.

``github.graphql`` beside this module is the part of the schema that our question reaches.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from graphql import GraphQLError, GraphQLScalarType, build_schema, graphql_sync

from tests.support.forges import Forge, Repo, head_of

MOST = 100
"""Ids that GitHub takes at once."""


def _time(value: Any) -> str:
    assert isinstance(value, datetime)
    return value.isoformat().replace("+00:00", "Z")


def _address(value: Any) -> str:
    assert urlsplit(value).scheme in ("http", "https")
    return str(value)


def _oid(value: Any) -> str:
    assert re.fullmatch("[0-9a-f]{40}", value)
    return str(value)


SCHEMA = build_schema(Path(__file__).with_name("github.graphql").read_text())
for _name, _serialize in {"DateTime": _time, "URI": _address, "GitObjectID": _oid}.items():
    _scalar = SCHEMA.type_map[_name]
    assert isinstance(_scalar, GraphQLScalarType)
    _scalar.coerce_output_value = _serialize


@dataclass
class GraphQL:
    """The interface. It shows what REST shows, but for what is said here.

    Attributes:
        hidden: numbers of repositories that it does not find, as those that are made private meanwhile.
        people: numbers whose ids are somebody's.
        wrong: numbers for which something goes wrong.
        slow: numbers for which it takes too long, whatever else is asked for.
        most: repositories for which it has time.
        asked: how many ids each question had.
    """

    forge: Forge
    hidden: set[int] = field(default_factory=set)
    people: set[int] = field(default_factory=set)
    wrong: set[int] = field(default_factory=set)
    slow: set[int] = field(default_factory=set)
    most: int = MOST
    asked: list[int] = field(default_factory=list)

    def answer(self, document: bytes) -> dict[str, Any] | None:
        """What it says to a question; None if it takes too long."""
        question = json.loads(document)
        numbers = [int(node.removeprefix("R_")) for node in question["variables"]["ids"]]
        self.asked.append(len(numbers))
        assert len(numbers) <= MOST
        if len(numbers) > self.most or self.slow & set(numbers):
            return None
        found = graphql_sync(
            SCHEMA,
            question["query"],
            {"nodes": lambda info, ids: [self._node(number) for number in numbers]},
            variable_values=question["variables"],
        )
        errors = [{**error.formatted, "type": _type_of(error)} for error in found.errors or ()]
        assert not any(error["type"] == "" for error in errors), f"neither question nor answer may be wrong: {errors}"
        return {"data": found.data, **({"errors": errors} if errors else {})}

    def _node(self, number: int) -> Any:
        repo = self.forge.repos.get(number)
        if number in self.people:
            return {"__typename": "User", "id": f"R_{number}", "login": "somebody"}
        if number in self.wrong:
            return Told("Something went wrong while executing your query.", "SERVICE_UNAVAILABLE")
        if repo is None or repo.private or number in self.hidden:
            return Told(f"Could not resolve to a node with the global id of 'R_{number}'", "NOT_FOUND")
        return self._repository(repo)

    def _repository(self, repo: Repo) -> dict[str, Any]:
        parent = self.forge.repos.get(repo.parent or 0)
        return {
            "__typename": "Repository", "id": f"R_{repo.id}", "databaseId": repo.id,
            "url": self.forge.url(repo).removesuffix(".git"), "isFork": repo.parent is not None,
            "isArchived": repo.archived, "isEmpty": repo.empty, "isMirror": False, "visibility": "PUBLIC",
            "diskUsage": 12, "pushedAt": None if repo.empty else repo.changed, "stargazerCount": 3,
            "licenseInfo": {"spdxId": "MIT"}, "parent": None if parent is None else self._repository(parent),
            "defaultBranchRef": None if repo.empty else {
                "name": "main", "target": {"__typename": "Commit", "oid": head_of(repo)},
            },
        }  # fmt: skip


class Told(GraphQLError):
    """An error about a node, which is null then."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def _type_of(error: GraphQLError) -> str:
    """GitHub's word for an error; "" for one that the schema finds."""
    cause = error if isinstance(error, Told) else error.original_error
    return cause.kind if isinstance(cause, Told) else ""
