"""The fake of Bitbucket is held to what Bitbucket's OpenAPI document says, and so are our requests."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from pipeline.fetch.forges.by_time import Bitbucket
from pipeline.fetch.forges.cursor import Cursor
from pipeline.model.page import Page
from tests.support.bitbucket import PAGES, asked_of, check_answer
from tests.support.openapi import differences

DOCUMENT = os.environ.get("BITBUCKET_OPENAPI")
BASE = "https://api.bitbucket.org/2.0/repositories/o"
ITEM = {"type": "repository", "uuid": "{1}", "created_on": "2026-01-01T00:00:00.123456+00:00"}
PAGER = Bitbucket(BASE, {"bitbucket.org"})


def page(*values: Any, **others: Any) -> dict[str, Any]:
    return {"pagelen": 10, "values": list(values), **others}


@pytest.mark.parametrize(
    "document",
    [
        page({"uuid": "{1}"}), page(ITEM | {"mainbranch": None}), page(ITEM | {"mainbranch": {"name": "main"}}),
        page(ITEM | {"parent": {"uuid": "{2}"}}), page(ITEM | {"size": "12"}), page(ITEM | {"is_private": 0}),
        page(ITEM | {"created_on": "2026-01-01T00:00:00"}), page(ITEM | {"scm": "hg"}), page(next="page 2"),
        page(ITEM | {"links": {"html": "https://bitbucket.org/o/r"}}), page(ITEM | {"links": {"edit": {}}}),
        page(limit=1), page(pagelen=0), page(page=0), [], page({}),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_bitbuckets_is_noticed(document: Any) -> None:
    with pytest.raises(ValidationError):
        check_answer(document)


def test_an_answer_may_have_more_than_the_document_says() -> None:
    check_answer(page(ITEM | {"slug": "r", "mainbranch": {"type": "branch", "name": "main", "x": 1}}))


@pytest.mark.parametrize("document", [page(ITEM, ITEM), page(ITEM, pagelen=101), page(ITEM, ITEM, pagelen=1)])
def test_a_page_has_each_once_and_not_too_many(document: Any) -> None:
    with pytest.raises(AssertionError):
        check_answer(document)


@pytest.mark.parametrize(
    "query",
    [
        "limit=10", "pagelen=101", "pagelen=0", "sort=created_on,size", "sort=created_on&sort=size", "q=",
        "q=created_on+>=+2026-01-01T00:00:00.123456%2B00:00", "q=created_on+>=+'2026-01-01T00:00:00'",
        "q=pushed_on+>+2026-01-01T00:00:00", "q=created_on+>+2026-01-01T00:00:00+and+updated_on+>+2026-01-01T00:00:00",
    ],
)  # fmt: skip
def test_a_request_that_is_not_in_the_document_is_noticed(query: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        asked_of(f"{BASE}?{query}")


def test_filters_have_milliseconds_and_what_shares_one_is_asked_for_again() -> None:
    last = datetime(2026, 1, 1, 12, 0, 0, 123_999, tzinfo=UTC)
    times = [last - timedelta(seconds=1), last - timedelta(microseconds=900), last]
    values = [ITEM | {"uuid": f"{{{n}}}", "scm": "git", "created_on": each.isoformat()} for n, each in enumerate(times)]
    first = PAGER.first(since=last)
    batch = PAGER.read(first, Page({}, json.dumps(page(*values, next=BASE)).encode()))
    assert batch.next is not None
    asked, terms = asked_of(PAGER.address(batch.next))
    assert asked["sort"] == "created_on"
    second = last.replace(microsecond=123_000)
    assert terms == [("created_on", ">=", second), ("updated_on", ">=", second)]
    assert batch.next.tail == ("{1}", "{2}")
    again = PAGER.read(batch.next, Page({}, json.dumps(page(*values[1:])).encode()))
    assert (again.listings, again.bad, again.next) == ((), {}, None)


def test_a_cursor_with_microseconds_goes_on() -> None:
    """As passes have them that an earlier version began."""
    cursor = Cursor(size=100, after=datetime(2026, 1, 1, 0, 0, 0, 123_456, tzinfo=UTC), tail=("{9}",))
    earlier = ITEM | {"scm": "git", "created_on": "2026-01-01T00:00:00.123001+00:00"}
    batch = PAGER.read(cursor, Page({}, json.dumps(page(earlier)).encode()))
    assert batch.bad == {"no clone URL": 1}


def test_a_repository_without_a_branch_has_none() -> None:
    """Bitbucket says null, whatever its document says."""
    shown = ITEM | {"scm": "git", "links": {"html": {"href": "https://bitbucket.org/o/r"}}}
    for branch in ({}, {"mainbranch": None}):
        (listing,) = PAGER.read(PAGER.first(), Page({}, json.dumps(page(shown | branch)).encode())).listings
        assert listing.default_branch is None


# The document itself


@pytest.mark.skipif(DOCUMENT is None, reason="BITBUCKET_OPENAPI names no copy of the document")
def test_our_words_are_those_of_the_document() -> None:
    theirs = yaml.safe_load(Path(DOCUMENT or "").read_text())
    answer = theirs["paths"]["/repositories/{workspace}"]["get"]["responses"]["200"]
    schema = answer["schema"] if "schema" in answer else answer["content"]["application/json"]["schema"]
    ours = PAGES.json_schema()
    found = differences(theirs, schema, ours, ours)
    assert [each for each in found if not ("merge_strateg" in each and each.endswith("]"))] == []
