"""The fake of GitLab's REST interface is held to what GitLab's OpenAPI document says, and so are our requests."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from pipeline.fetch.forges.by_id import GitLab
from pipeline.model.page import Page
from tests.support.forges import Forge
from tests.support.gitlab_rest import ALWAYS, ASKED, Asked, Basic, Project, asked_of, check_answer
from tests.support.noted import Noted
from tests.support.openapi import differences

DOCUMENT = os.environ.get("GITLAB_OPENAPI")
BASE = "https://gitlab.example"
PAGER = GitLab(BASE, {"gitlab.example"})
KEYSET = "pagination=keyset&order_by=id&sort=asc"
ALL: Asked = {"id_after": 0, "per_page": 100}


def an_item(**values: Any) -> dict[str, Any]:
    """A fork that the fake shows, but for some values."""
    forge = Forge(base=BASE)
    forge.create()
    forge.create(parent=1)
    (_, item), _ = forge.answer(f"{BASE}/api/v4/projects?{KEYSET}")
    return {**item, **values}


def without(item: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != name}


@pytest.mark.parametrize(
    "values",
    [
        {"id": "1"}, {"http_url_to_repo": None}, {"visibility": 20}, {"archived": 0}, {"empty_repo": "no"},
        {"default_branch": ["main"]}, {"star_count": "3"}, {"last_activity_at": "2026-01-01"}, {"topics": "text"},
        {"last_activity_at": 1}, {"forked_from_project": 1}, {"forked_from_project": {"id": "1"}},
        {"namespace": {"id": "1"}}, {"namespace": None}, {"mirror": "no"},
    ],
)  # fmt: skip
def test_an_answer_that_is_not_gitlabs_is_noticed(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        check_answer([an_item(**values)], ALL)


def test_the_fake_is_held_to_it() -> None:
    forge = Forge(base=BASE)
    forge.create(archived="no")
    with pytest.raises(ValidationError, match="archived"):
        forge.answer(f"/api/v4/projects?{KEYSET}")
    with pytest.raises(ValidationError, match="since"):
        forge.answer(f"/api/v4/projects?{KEYSET}&since=0")


@pytest.mark.parametrize("name", sorted(ALWAYS))
def test_what_is_always_there_is(name: str) -> None:
    item = an_item()
    parent = item["forked_from_project"]
    check_answer([item], ALL)
    for wrong in (without(item, name), {**item, "forked_from_project": without(parent, name)}):
        with pytest.raises(AssertionError, match=name):
            check_answer([wrong], {"per_page": 100})


@pytest.mark.parametrize("ids", [[1, 1], [2, 1], range(1, 6), [0]])
def test_a_page_is_in_order_and_has_what_was_asked_for(ids: Any) -> None:
    with pytest.raises(AssertionError):
        check_answer([an_item(id=number) for number in ids], {"per_page": 4, "id_after": 0})


@pytest.mark.parametrize(
    "query",
    [
        "limit=10", "per_page=101", "per_page=0", "per_page=a", "id_after=", "id_after=1&id_after=2", "page=2",
        "last_activity_after=2026-01-01", "last_activity_after=1767225600", "visibility=open", "archived=maybe",
        "last_activity_after=2026-01-01T00:00:00", "order_by=size", "since=1", "pagination=offset",
    ],
)  # fmt: skip
def test_a_request_that_is_not_in_the_documents_is_noticed(query: str) -> None:
    name = query.partition("=")[0]
    others = "&".join(each for each in KEYSET.split("&") if not each.startswith(f"{name}="))
    with pytest.raises((AssertionError, ValueError)):
        asked_of(f"{BASE}/api/v4/projects?{others}&{query}")


@pytest.mark.parametrize("name", ["pagination", "order_by", "sort"])
def test_keyset_pagination_is_asked_for_in_full(name: str) -> None:
    asked_of(f"{BASE}/api/v4/projects?{KEYSET}")
    less = "&".join(each for each in KEYSET.split("&") if not each.startswith(name))
    with pytest.raises(AssertionError):
        asked_of(f"{BASE}/api/v4/projects?{less}")


def test_changes_are_asked_for_by_a_time_with_its_zone() -> None:
    since = datetime(2026, 1, 1, 12, 0, 0, 123_456, tzinfo=UTC)
    asked = asked_of(PAGER.address(PAGER.first(since=since)))
    assert asked["last_activity_after"] == since
    assert asked["id_after"] == 0


def test_the_pager_reads_what_the_document_has() -> None:
    parent = Noted(an_item()["forked_from_project"])
    item = Noted(an_item(forked_from_project=parent))
    assert PAGER.listing(item).parent_id == "1"
    assert {"id", "http_url_to_repo", "forked_from_project", "last_activity_at"} <= item.asked
    assert item.asked <= Project.__annotations__.keys()
    assert parent.asked <= Basic.__annotations__.keys()


def test_what_is_null_or_not_shown_without_a_token_is_not_known() -> None:
    """GitLab says null where there is nothing, whatever its document says."""
    item = an_item()
    read = ("default_branch", "star_count", "last_activity_at", "visibility", "archived", "empty_repo", "mirror")
    basic = {name: value for name, value in item.items() if name in Basic.__annotations__}
    nulls = {**item, **dict.fromkeys(read), "forked_from_project": None}
    for each, known in ((basic, "main"), (nulls, None)):
        (listing,) = PAGER.read(PAGER.first(), Page({}, json.dumps([each]).encode())).listings
        assert (listing.archived, listing.empty, listing.mirror, listing.fork) == (None, None, None, None)
        assert (listing.parent_id, listing.parent_url, listing.default_branch) == (None, None, known)


@pytest.mark.skipif(DOCUMENT is None, reason="GITLAB_OPENAPI names no copy of the document")
def test_our_words_are_those_of_the_document() -> None:
    theirs = yaml.load(Path(DOCUMENT or "").read_text(), yaml.CSafeLoader)
    operation = theirs["paths"]["/api/v4/projects"]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    ours = TypeAdapter(list[Basic]).json_schema()
    assert differences(theirs, schema, ours, ours) == []
    more = theirs["components"]["schemas"]["APIEntitiesProjectsWithAccessAndCatalogSetting"]["properties"]
    ours = TypeAdapter(Project).json_schema()
    found = [
        each
        for name, our in ours["properties"].items()
        for each in differences(theirs, more[name], ours, our, f".{name}")
    ]
    assert found == [".mirror: type boolean instead of string"]
    asked = ASKED.json_schema()["properties"]
    parameters = {each["name"]: {**each["schema"], "nullable": False} for each in operation["parameters"]}
    assert asked.keys() - parameters.keys() == {"pagination"}
    found = [
        each
        for name, their in parameters.items()
        if name != "topic"
        for each in differences(theirs, their, {}, asked[name], name)
    ]
    assert found == []
