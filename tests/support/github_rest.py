"""What GitHub's OpenAPI document says of ``GET /repositories``, in our words.

The document is api.github.com.json of https://github.com/github/rest-api-description (MIT), as version 23.0.2 of the
npm package ``@octokit/openapi`` has it. ``tests/fetch/forges/test_github_rest.py`` compares the two where there is a
copy.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, Literal, Required
from urllib.parse import parse_qsl, urlsplit

from pydantic import AnyUrl, AwareDatetime, ConfigDict, TypeAdapter
from typing_extensions import TypedDict

CLOSED: Final = ConfigDict(extra="forbid")
OPEN: Final = ConfigDict(extra="allow")


class User(TypedDict, total=False):
    __pydantic_config__ = OPEN  # type: ignore[misc]

    login: Required[str]
    id: Required[int]
    node_id: Required[str]
    avatar_url: Required[AnyUrl]
    gravatar_id: Required[str | None]
    url: Required[AnyUrl]
    html_url: Required[AnyUrl]
    followers_url: Required[AnyUrl]
    following_url: Required[str]
    gists_url: Required[str]
    starred_url: Required[str]
    subscriptions_url: Required[AnyUrl]
    organizations_url: Required[AnyUrl]
    repos_url: Required[AnyUrl]
    events_url: Required[str]
    received_events_url: Required[AnyUrl]
    type: Required[str]
    site_admin: Required[bool]
    name: str | None
    email: str | None
    starred_at: str
    user_view_type: str


class License(TypedDict, total=False):
    __pydantic_config__ = OPEN  # type: ignore[misc]

    key: str
    name: str
    spdx_id: str
    url: str | None
    node_id: str


class Conduct(TypedDict, total=False):
    __pydantic_config__ = OPEN  # type: ignore[misc]

    key: Required[str]
    name: Required[str]
    url: Required[AnyUrl]
    html_url: Required[AnyUrl | None]
    body: str


class Permissions(TypedDict, total=False):
    __pydantic_config__ = OPEN  # type: ignore[misc]

    admin: bool
    maintain: bool
    push: bool
    triage: bool
    pull: bool


class Addresses(TypedDict):
    """URLs, and templates of URLs, which need not be any."""

    url: AnyUrl
    html_url: AnyUrl
    contributors_url: AnyUrl
    deployments_url: AnyUrl
    downloads_url: AnyUrl
    events_url: AnyUrl
    forks_url: AnyUrl
    hooks_url: AnyUrl
    languages_url: AnyUrl
    merges_url: AnyUrl
    stargazers_url: AnyUrl
    subscribers_url: AnyUrl
    subscription_url: AnyUrl
    tags_url: AnyUrl
    teams_url: AnyUrl
    archive_url: str
    assignees_url: str
    blobs_url: str
    branches_url: str
    collaborators_url: str
    comments_url: str
    commits_url: str
    compare_url: str
    contents_url: str
    git_commits_url: str
    git_refs_url: str
    git_tags_url: str
    issue_comment_url: str
    issue_events_url: str
    issues_url: str
    keys_url: str
    labels_url: str
    milestones_url: str
    notifications_url: str
    pulls_url: str
    releases_url: str
    statuses_url: str
    trees_url: str


class Repository(Addresses, total=False):
    """A "minimal repository"."""

    __pydantic_config__ = OPEN  # type: ignore[misc]

    id: Required[int]
    node_id: Required[str]
    name: Required[str]
    full_name: Required[str]
    owner: Required[User]
    private: Required[bool]
    description: Required[str | None]
    fork: Required[bool]
    allow_forking: bool
    archived: bool
    clone_url: str
    code_of_conduct: Conduct
    created_at: AwareDatetime | None
    custom_properties: dict[str, Any]
    default_branch: str
    delete_branch_on_merge: bool
    disabled: bool
    forks: int
    forks_count: int
    git_url: str
    has_discussions: bool
    has_downloads: bool
    has_issues: bool
    has_pages: bool
    has_projects: bool
    has_pull_requests: bool
    has_wiki: bool
    homepage: str | None
    is_template: bool
    language: str | None
    license: License | None
    mirror_url: str | None
    network_count: int
    open_issues: int
    open_issues_count: int
    permissions: Permissions
    pull_request_creation_policy: Literal["all", "collaborators_only"]
    pushed_at: AwareDatetime | None
    role_name: str
    security_and_analysis: dict[str, Any] | None
    size: int
    ssh_url: str
    stargazers_count: int
    subscribers_count: int
    svn_url: str
    temp_clone_token: str
    topics: list[str]
    updated_at: AwareDatetime | None
    visibility: str
    watchers: int
    watchers_count: int
    web_commit_signoff_required: bool


class Asked(TypedDict, total=False):
    """The parameters."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]

    since: int


ANSWER: Final = TypeAdapter(list[Repository])
ASKED: Final = TypeAdapter(Asked)

MOST_ITEMS: Final = 100


def check_answer(document: Any, asked: Asked) -> None:
    """Raise what is wrong with a page."""
    ANSWER.validate_json(json.dumps(document), strict=True)
    ids = [item["id"] for item in document]
    assert len(ids) <= MOST_ITEMS
    assert ids == sorted(set(ids)), "by id, each once"
    assert all(each > asked.get("since", 0) for each in ids)


def asked_of(address: str) -> Asked:
    """What a request asks for; it must be one that the document has. GitHub Enterprise has its own prefix."""
    parts = urlsplit(address)
    assert re.fullmatch(r"(/api/v3)?/repositories", parts.path), address
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    assert len(dict(pairs)) == len(pairs), address
    return ASKED.validate_strings(dict(pairs))
