"""Patterns of origins: what they name, and that they name nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.errors import UsageError
from pipeline.model.pattern import (
    BadPatternList,
    OptOuts,
    Pattern,
    parse_pattern,
    parse_patterns,
    place_asked,
    place_of,
)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("https://Host/foo/", Pattern("https://host/foo")),
        ("https://host/foo/*", Pattern("https://host/foo/", below=True)),
        ("HTTPS://host/*", Pattern("https://host/", below=True)),
        ("https://host:8443//*", Pattern("https://host:8443/", below=True)),
    ],
)
def test_a_star_behind_the_last_slash_names_all_below(text: str, pattern: Pattern) -> None:
    assert parse_pattern(text) == pattern
    assert parse_pattern(str(pattern)) == pattern


@pytest.mark.parametrize("text", ["https://host/foo*", "https://*/foo", "https://h/*/x", "*", "https://h/a?b/*", "/*"])
def test_other_stars_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError):
        parse_pattern(text)
    with pytest.raises(UsageError) as refused:
        parse_pattern("https://u:secret@host/foo*")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://host/a/b.git", "host/a/b"),
        ("git://host:9418/a/b", "host/a/b"),
        ("https://[::1]:443/x", "[::1]/x"),
        ("http://[::1]:8080/x", "[::1]:8080/x"),
        ("ssh://git@host:22/x", "host/x"),
        ("https://host80/x", "host80/x"),
        ("https://host/443/x.git.git", "host/443/x"),
        ("https://host/a/b?x=1", "host/a/b"),
        ("https://host/a/b;x", "host/a/b"),
        ("https://host/a/b/.git", "host/a/b"),
        ("https://host/A/./z/../%62", "host/a/b"),
        ("https://host./%2561//b", "host/a/b"),
        ("https://host/../../b", "host/b"),
        ("https://host/caf\u00c9", "host/caf\u00e9"),
        ("https://host/cafe\u0301", "host/caf\u00e9"),
        ("https://host/.git/..", "host"),
        ("https://host.:8443/b", "host:8443/b"),
        ("https://[2001:db8:0::1]/b", "[2001:db8::1]/b"),
        ("https://0x7f.1/b", "127.0.0.1/b"),
        ("https://1.example/b", "1.example/b"),
        ("https://xn--mnchen-3ya.example/b", "m\u00fcnchen.example/b"),
        ("https://xn--.xn--abc-/b", "xn--.xn--abc-/b"),
    ],
)
def test_the_place_of_a_repository_is_its_host_and_path(url: str, place: str) -> None:
    assert place_of(url) == place


@pytest.mark.parametrize("asked", ["", "/info/refs?service=git-upload-pack", "/INFO//./refs", "/git-upload-pack"])
def test_git_asks_a_repository_by_more_than_its_url(asked: str) -> None:
    assert place_asked(f"https://host/a/b.git{asked}") == "host/a/b"
    assert place_asked(f"https://host/a/info{asked}") == "host/a/info"


def test_an_opt_out_holds_for_every_scheme_and_for_nothing_beside_it() -> None:
    rules = OptOuts(map(parse_pattern, ["https://host/foo", "https://host/owner/*", "https://whole.example/*"]))
    for inside in (
        "https://host/foo",
        "git://host/foo.git",
        "https://host/owner/x",
        "http://host/owner/x/y.git",
        "https://host/%6fwner/x",
        "https://host//owner/x",
        "https://host/./owner/x",
        "https://host/z/../Owner/x",
        "https://host./foo;x?y",
        "https://whole.example/a",
    ):
        assert rules.rule_for(inside) is not None, inside
    for outside in (
        "https://host/foobar",
        "https://host/foo/bar",
        "https://host/owner",
        "https://host/owners/x",
        "https://sub.whole.example/a",
        "https://host:8443/foo",
    ):
        assert rules.rule_for(outside) is None, outside
    assert rules
    assert not OptOuts([])


@given(st.text(st.sampled_from("aA/.%25;?gitb"), max_size=30))
def test_a_place_is_its_own_place(path: str) -> None:
    place = place_of(f"https://host/{path}")
    assert place_of(f"https://{place}") == place
    assert place_of(f"https://{place}.git") == place or place == "host"


def test_a_list_is_checked_as_a_whole() -> None:
    assert parse_patterns("f", ["# all", "https://a/x # why", "", "https://a/*\n", "https://a/x"]) == [
        Pattern("https://a/x"),
        Pattern("https://a/", below=True),
    ]
    with pytest.raises(BadPatternList) as bad:
        parse_patterns("f", ["https://a/x", "https://a/x*", "a b"])
    assert [number for number, _ in bad.value.problems] == [2, 3]
