"""What GitLab's OpenAPI document says of ``GET /api/v4/projects``, in our words.

The document is doc/api/openapi/openapi_v3.yaml of https://github.com/gitlabhq/gitlabhq (GitLab 19.5, commit
045bf8777ea893e770b49d420febaeb7bf89e24a). It requires nothing of a project and has no null; which fields are in all
answers is in lib/api/entities/basic_project_details.rb, and what keyset pagination needs in doc/api/rest/_index.md.
``tests/fetch/forges/test_gitlab_rest.py`` compares the two where there is a copy.
"""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, TypeAdapter
from typing_extensions import TypedDict

CLOSED: Final = ConfigDict(extra="forbid")
OPEN: Final = ConfigDict(extra="allow")


class Namespace(TypedDict, total=False):
    __pydantic_config__ = OPEN  # type: ignore[misc]

    id: int
    name: str
    path: str
    kind: str
    full_path: str
    parent_id: int
    avatar_url: str
    web_url: str


class Basic(TypedDict, total=False):
    """What everybody is shown of a project, and of the one that it was forked from."""

    __pydantic_config__ = OPEN  # type: ignore[misc]

    id: int
    description: str
    name: str
    name_with_namespace: str
    path: str
    path_with_namespace: str
    created_at: AwareDatetime
    default_branch: str
    tag_list: list[str]
    topics: list[str]
    ssh_url_to_repo: str
    http_url_to_repo: str
    web_url: str
    readme_url: str
    forks_count: int
    license_url: str
    license: dict[str, Any]
    avatar_url: str
    star_count: int
    last_activity_at: AwareDatetime
    visibility: str
    namespace: Namespace
    custom_attributes: dict[str, Any]
    repository_storage: str


class Project(Basic, total=False):
    """What is shown with a token as well, as far as we read it.

    ``mirror``: the document says text, as of all whose type nobody wrote down; answers have a truth value.
    """

    __pydantic_config__ = OPEN  # type: ignore[misc]

    forked_from_project: Basic
    empty_repo: bool
    archived: bool
    mirror: bool


ALWAYS: Final = {
    "id", "description", "name", "name_with_namespace", "path", "path_with_namespace", "created_at", "tag_list",
    "topics", "ssh_url_to_repo", "http_url_to_repo", "web_url", "avatar_url", "star_count", "last_activity_at",
    "visibility", "namespace",
}  # fmt: skip
"""In all answers, if only as null."""


def _checked(found: str) -> str:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", found), found
    return found


Moment = Annotated[AwareDatetime, BeforeValidator(_checked)]


class Asked(TypedDict, total=False):
    """The parameters, and ``pagination``, which only the page about pagination has."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]

    pagination: Literal["keyset"]
    order_by: Literal[
        "id", "name", "path", "created_at", "updated_at", "last_activity_at", "similarity", "star_count",
        "storage_size", "repository_size", "wiki_size", "packages_size",
    ]  # fmt: skip
    sort: Literal["asc", "desc"]
    archived: bool
    visibility: Literal["private", "internal", "public"]
    search: str
    search_namespaces: bool
    owned: bool
    starred: bool
    imported: bool
    membership: bool
    with_issues_enabled: bool
    with_merge_requests_enabled: bool
    with_programming_language: str
    min_access_level: Literal[10, 15, 20, 25, 30, 40, 50]
    id_after: int
    id_before: int
    last_activity_after: Moment
    last_activity_before: Moment
    repository_storage: str
    topic: str
    topic_id: int
    updated_before: Moment
    updated_after: Moment
    include_pending_delete: bool
    marked_for_deletion_on: date
    active: bool
    wiki_checksum_failed: bool
    repository_checksum_failed: bool
    include_hidden: bool
    page: int
    per_page: int
    simple: bool
    statistics: bool
    with_custom_attributes: bool
    custom_attributes: dict[str, str]


ANSWER: Final = TypeAdapter(list[Project])
ASKED: Final = TypeAdapter(Asked)

MOST_ITEMS: Final = 100


def check_answer(document: Any, asked: Asked) -> None:
    """Raise what is wrong with a page."""
    ANSWER.validate_json(json.dumps(document), strict=True)
    for item in document:
        for shown in (item, item.get("forked_from_project", item)):
            assert shown.keys() >= ALWAYS, ALWAYS - shown.keys()
    ids = [item["id"] for item in document]
    assert len(ids) <= asked.get("per_page", 20)
    assert ids == sorted(set(ids)), "by id, each once"
    assert all(each > asked.get("id_after", 0) for each in ids)


def asked_of(address: str) -> Asked:
    """What a request asks for; it must be one that the documents have, with keyset pagination by id."""
    parts = urlsplit(address)
    assert parts.path.endswith("/api/v4/projects"), address
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    assert len(dict(pairs)) == len(pairs), address
    asked = ASKED.validate_strings(dict(pairs))
    assert (asked.get("pagination"), asked.get("order_by"), asked.get("sort")) == ("keyset", "id", "asc"), address
    assert "page" not in asked, "it is of offsets"
    assert 1 <= asked.get("per_page", 20) <= MOST_ITEMS, address
    return asked
