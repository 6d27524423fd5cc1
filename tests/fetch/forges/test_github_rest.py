"""The fake of GitHub's REST interface is held to what GitHub's OpenAPI document says, and so are our requests."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.fetch.forges.by_id import GitHub
from pipeline.model.page import Page
from tests.support.forges import Forge
from tests.support.github_rest import ANSWER, ASKED, Repository, asked_of, check_answer
from tests.support.noted import Noted
from tests.support.openapi import differences, resolved

DOCUMENT = os.environ.get("GITHUB_OPENAPI")
BASE = "https://github.example"
PAGER = GitHub(BASE, {"github.example"})


def an_item(**values: Any) -> dict[str, Any]:
    """One that the fake shows, but for some values."""
    forge = Forge(base=BASE)
    forge.create()
    (item,), _ = forge.answer(f"{BASE}/repositories?since=0")
    return {**item, **values}


def without(item: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != name}


@pytest.mark.parametrize(
    "values",
    [
        {"id": "1"}, {"node_id": None}, {"private": 0}, {"fork": None}, {"html_url": "o/r"}, {"owner": None},
        {"owner": {"login": "o"}}, {"pushed_at": "2026-01-01T00:00:00"}, {"pushed_at": 1}, {"license": "MIT"},
        {"license": {"spdx_id": 1}}, {"default_branch": None}, {"size": 1.5}, {"stargazers_count": "3"},
        {"archived": None}, {"topics": "text"}, {"pull_request_creation_policy": "nobody"},
    ],
)  # fmt: skip
def test_an_answer_that_is_not_githubs_is_noticed(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        check_answer([an_item(**values)], {"since": 0})


def test_the_fake_is_held_to_it() -> None:
    forge = Forge(base="no-url")
    forge.create()
    with pytest.raises(ValidationError, match="html_url"):
        forge.answer("/repositories?since=0")
    with pytest.raises(ValidationError, match="page"):
        forge.answer("/repositories?since=0&page=1")


def test_what_must_be_there_is() -> None:
    item = an_item()
    for name in sorted(Repository.__required_keys__):
        with pytest.raises(ValidationError, match=name):
            check_answer([without(item, name)], {"since": 0})
    for name in item["owner"]:
        with pytest.raises(ValidationError, match=name):
            check_answer([{**item, "owner": without(item["owner"], name)}], {"since": 0})


def test_an_answer_may_have_null_where_the_document_says_so_and_more() -> None:
    nothing = {"pushed_at": None, "license": None, "description": None, "homepage": None, "mirror_url": None}
    check_answer([an_item(**nothing, x=1)], {"since": 0})
    (listing,) = PAGER.read(PAGER.first(), Page({}, json.dumps([an_item(**nothing)]).encode())).listings
    assert (listing.changed_at, listing.license) == (None, None)


@pytest.mark.parametrize("ids", [[1, 1], [2, 1], range(1, 102), [5]])
def test_a_page_is_in_order_and_has_what_was_asked_for(ids: Any) -> None:
    with pytest.raises(AssertionError):
        check_answer([an_item(id=number) for number in ids], {"since": 5 if list(ids) == [5] else 0})


@pytest.mark.parametrize(
    "query", ["since=a", "since=1&since=2", "since=", "per_page=10&since=1", "page=2", "visibility"]
)
def test_a_request_that_is_not_in_the_document_is_noticed(query: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        asked_of(f"{BASE}/repositories?{query}")


def test_requests_may_have_the_prefix_of_enterprise() -> None:
    assert asked_of(f"{BASE}/api/v3/repositories?since=3") == {"since": 3}
    with pytest.raises(AssertionError):
        asked_of(f"{BASE}/orgs/o/repositories?since=3")


def test_the_pager_reads_what_the_document_has() -> None:
    item = Noted(an_item())
    PAGER.listing(item)
    full = Noted(an_item(clone_url=f"{BASE}/o/r.git", license=None))
    PAGER.listing(full)
    assert {"id", "html_url", "clone_url", "pushed_at", "license"} <= item.asked | full.asked
    assert item.asked | full.asked <= Repository.__annotations__.keys()


@pytest.mark.skipif(DOCUMENT is None, reason="GITHUB_OPENAPI names no copy of the document")
def test_our_words_are_those_of_the_document() -> None:
    theirs = json.loads(Path(DOCUMENT or "").read_text())
    operation = theirs["paths"]["/repositories"]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    ours = ANSWER.json_schema()
    assert differences(theirs, schema, ours, ours) == []
    asked = [resolved(theirs, each) for each in operation["parameters"]]
    assert [(each["name"], each["in"], each["schema"]) for each in asked] == [("since", "query", {"type": "integer"})]
    assert ASKED.json_schema()["properties"].keys() == {"since"}
