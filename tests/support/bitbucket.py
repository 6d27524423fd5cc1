"""What Bitbucket's OpenAPI document says of ``GET /repositories/{workspace}``, in our words.

The document is https://api.bitbucket.org/swagger.json (version 2.0); what it says of queries is in its section on
filtering. ``tests/fetch/forges/test_bitbucket.py`` compares the two where there is a copy.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Required
from urllib.parse import parse_qsl, urlsplit

from pydantic import AnyUrl, AwareDatetime, ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

CLOSED: Final = ConfigDict(extra="forbid")
OPEN: Final = ConfigDict(extra="allow")


class Object(TypedDict, total=False):
    """What most resources are; of many, nothing else is looked at here."""

    __pydantic_config__ = OPEN  # type: ignore[misc]

    type: Required[str]


class Link(TypedDict, total=False):
    __pydantic_config__ = CLOSED  # type: ignore[misc]

    href: AnyUrl
    name: str


class Links(TypedDict, total=False):
    __pydantic_config__ = CLOSED  # type: ignore[misc]

    self: Link
    html: Link
    avatar: Link
    pullrequests: Link
    commits: Link
    forks: Link
    watchers: Link
    downloads: Link
    clone: list[Link]
    hooks: Link


class BranchLinks(TypedDict, total=False):
    __pydantic_config__ = CLOSED  # type: ignore[misc]

    self: Link
    commits: Link
    html: Link


class Branch(Object, total=False):
    __pydantic_config__ = OPEN  # type: ignore[misc]

    links: BranchLinks
    name: str
    target: Object
    merge_strategies: list[str]
    default_merge_strategy: str


class Repository(Object, total=False):
    """A value may be left out, but is never null."""

    __pydantic_config__ = OPEN  # type: ignore[misc]

    links: Links
    uuid: str
    full_name: str
    is_private: bool
    parent: Repository
    scm: Literal["git"]
    owner: Object
    name: str
    description: str
    created_on: AwareDatetime
    updated_on: AwareDatetime
    size: int
    language: str
    has_issues: bool
    has_wiki: bool
    fork_policy: Literal["allow_forks", "no_public_forks", "no_forks"]
    project: Object
    mainbranch: Branch


class Repositories(TypedDict, total=False):
    """A page; each repository is on it once."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]

    size: Annotated[int, Field(ge=0)]
    page: Annotated[int, Field(ge=1)]
    pagelen: Annotated[int, Field(ge=1)]
    next: AnyUrl
    previous: AnyUrl
    values: list[Repository]


PAGES: Final = TypeAdapter(Repositories)

MOST_ITEMS: Final = 100
PARAMETERS: Final = {"fields", "page", "pagelen", "q", "role", "sort"}
"""Of the operation, and of all that have pages."""

MOMENT: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?(?:[+-]\d\d:\d\d)?"
TERM: Final = re.compile(rf"(created_on|updated_on) (=|!=|>=|>|<=|<) ({MOMENT})")
"""A comparison of a time, which is not quoted and has milliseconds at most."""


def check_answer(document: Any) -> None:
    """Raise what is wrong with a page."""
    PAGES.validate_json(json.dumps(document), strict=True)
    values = document["values"]
    assert all(one not in values[:number] for number, one in enumerate(values)), "each once"
    assert len(values) <= document["pagelen"] <= MOST_ITEMS


def asked_of(address: str) -> tuple[dict[str, str], list[tuple[str, str, datetime]]]:
    """What a request asks for: its parameters, and the terms of its filter. It must be one that the document has."""
    parts = urlsplit(address)
    assert re.fullmatch(r"/2\.0/repositories/[^/]+", parts.path), address
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    asked = dict(pairs)
    assert len(asked) == len(pairs)
    assert asked.keys() <= PARAMETERS, address
    assert re.fullmatch(r"-?[a-z_.]+", asked.get("sort", "name")), "one field"
    assert 1 <= int(asked.get("pagelen", "10")) <= MOST_ITEMS, address
    terms = [TERM.fullmatch(term) for term in asked["q"].split(" AND ")] if "q" in asked else []
    assert None not in terms, asked["q"]
    return asked, [(found[1], found[2], datetime.fromisoformat(found[3])) for found in terms if found is not None]
