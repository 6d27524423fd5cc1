import contextlib
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.model.origin import BadOriginUrl, check_url, is_fetched
from pipeline.model.origin_list import BadOriginList, parse_origin_list


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        (" HTTPS://GitHub.com/Psf/Requests/ ", "https://github.com/Psf/Requests"),
        ("git://[::1]:9418/a.git#readme", "git://[::1]:9418/a.git"),
        ("file:///srv/a.git", "file:///srv/a.git"),
        ("ssh://git@Example.org:22/a.git", "ssh://git@example.org:22/a.git"),
    ],
)
def test_one_repository_is_stored_under_one_spelling(url: str, stored: str) -> None:
    assert check_url(url) == check_url(stored) == stored


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("git@example.org:a.git", "not a URL"),
        ("/srv/a.git", "not a URL"),
        ("mailto:a@example.org", "not a URL"),
        ("https:///a.git", "no host"),
        ("https://example.org", "no path"),
        ("https://example.org:x/a.git", "port"),
        ("https://example.org/a b.git", "white space"),
        ("http://[::1/a.git", "IPv6"),
        ("http://[fe80::1%25eth0]/a.git", "IPv6"),
        ("http://[::1]x/a.git", "IPv6"),
        ("http://[1:2]/a.git", "IPv6"),
        ("https://exa\tmple.org/a.git", "white space"),
        ("https://example.org/a\n.git", "white space"),
        ("https://example.org\\@evil.org/a.git", "backslash"),
        ("https://example.org:65536/a.git", "port"),
        ("https://ex%61mple.org/a.git", "letters, digits"),
        ("https://\uff45xample.org/a.git", "plain spelling"),
        ("https://\u0130.org/a.git", "plain spelling"),
        ("https://" + "a" * 254 + "/a.git", "253 characters"),
        ("https://example.org/" + "a" * 2048, "2,048"),
    ],
)
def test_what_can_not_be_an_origin_is_named_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(BadOriginUrl, match=why):
        check_url(url)


S = "hunter2S3CRET"
"""A secret, planted where a password, a token or a part of one may be."""

SECRETS = [
    f"https://{S}@example.org/a.git",
    f"https://user:{S}@example.org/a.git",
    f"ssh://git:{S}@example.org/a.git",
    f"ssh://{S}:@example.org/a.git",
    f"https://user:pa/ss{S}@host/x",
    f"https://user:pa#ss{S}@host/x",
    f"https://user:pa?ss{S}@host/x",
    f"https://user:12/{S}@host/x",
    f"https://user:12#{S}@host/x",
    f"https://user:{S}/",
    f"https://user:{S}",
    f"https://user:{S}\\@host/x",
    f"https://user:{S}\t@host/x",
    f"https://user:{S}\n@host/x",
    f"https://user:{S} @host/x",
    f"https://user:{S}\0@host/x",
    f"https://user:[{S}@host/x",
    f"https://user:{S}]@host/x",
    f"https://user%3A{S}%40host/x",
    f"https://host/user:{S}%40other/x",
    f"https://host/user%3A{S}%2540other/x",
    f"https://proxy/https://user:{S}%40other/x",
    f"https://user:{S}\uff20host/x",
    f"https://user:{S}\ufe6bhost/x",
    f"https://user\uff1a{S}@host/x",
    f"https://[fe80::1%25{S}]/x",
    f"https://{S}:pw@",
    f"https:user:{S}@host/x",
    f"https:/user:{S}@host/x",
    f"user:{S}@host:x",
    f"{S}://host",
    f"{S}:x@host/y",
    f"//user:{S}@host/x",
    f"git://host/x@{S}",
    f"file://user:{S}@/x",
    f"https://host/x?token={S}",
    f"https://host/x?a=b&private_token={S}",
    f"https://host/x?a=b;API-Key={S}",
    f"https://host/x?{S}&pwd=1",
    f"https://host/x;password={S}",
    f"https://host/x?%74oken={S}",
    f"https://host/x?X-Amz-Signature={S}",
    f"https://host/x\uff1ftoken={S}",
    f"https://host/x?sig={S}",
    f"https://host/ghp_{S}0123456789/x",
    f"ssh://github_pat_{S}0123456789@host/x",
    f"https://host?{S}",
    f"https://host#{S}",
    f"  https://user:{S}@host/x  ",
]


@pytest.mark.parametrize("url", SECRETS)
def test_what_may_be_a_secret_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadOriginUrl) as caught:
        check_url(url)
    for told in (str(caught.value), repr(caught.value), repr(caught.value.args), repr(vars(caught.value))):
        assert S not in told
        assert "ss" + S[:3] not in told


@pytest.mark.parametrize("url", SECRETS)
def test_nor_by_a_list_that_has_it(url: str) -> None:
    with pytest.raises(BadOriginList) as caught:
        parse_origin_list("origins.txt", ["https://example.org/a.git", url, f"https://example.org/b.git {url}"])
    assert S not in str(caught.value)
    assert "line 2:" in str(caught.value)


def test_what_is_shown_of_a_bad_one_is_its_place_at_most() -> None:
    with pytest.raises(BadOriginUrl) as caught:
        check_url("https://Example.org:443/")
    assert str(caught.value) == "https://example.org: there is no path to a repository"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a%40b.git",
        "https://example.org/author?author=x&p=monkey.git",
        "https://m\u00fcnchen.example/\u00e4.git",
        "git://under_score.example/~user/a.git",
        "https://[2001:db8::1]:8443/a.git",
        "ssh://git@example.org/a.git",
        "file:///a//b",
        "file:////a",
    ],
)
def test_what_only_looks_odd_is_taken_as_it_is(url: str) -> None:
    assert check_url(url) == url


ODD = "/:@?#[]%\\;&=. \t\n\0\u200b\uff20\uff1a\uff0f\u2100"
WORDS = ["://", "https", "ssh", "git", "host", "user", "%40", "%3A", "12", "token=", "[::1]", "[fe80::1%25", "..", "a"]
PIECES = st.sampled_from([*ODD, *WORDS])


def told_or_stored(url: str) -> tuple[str, str | None]:
    try:
        return "", check_url(url)
    except BadOriginUrl as error:
        return f"{error} {error.args}", None


@pytest.mark.slow
@given(st.lists(PIECES, max_size=8), st.lists(PIECES, max_size=8), st.booleans())
@example(["https", "://", "user", ":", "12", "/"], ["@", "host", "/", "a"], True)
@settings(max_examples=2000)
def test_an_error_never_has_what_stands_beside_an_at_sign_or_behind_a_question_mark(
    before: list[str], after: list[str], begun: bool
) -> None:
    """A secret anywhere in the text is refused without being shown, or stored where only a host or path can be."""
    start = ("https://" if begun else "") + "".join(before)
    end = "".join(after)
    told, stored = told_or_stored(f"{start}{S}{end}")
    if any(mark in end for mark in "@\uff20") or any(mark in start for mark in "?#@"):
        assert S.lower() not in told.lower()
    assert len(told) < 400
    if stored is None:
        return
    assert check_url(stored) == stored
    parts = urlsplit(stored)
    assert parts.password is None
    assert "@" not in stored.partition("://")[2].partition("@")[2]
    assert parts.username is None or parts.scheme == "ssh"
    assert parts.fragment == ""


@given(st.text(max_size=60), st.sampled_from(["", "https://", "ssh://git@", "file://", "git://h/"]))
@settings(max_examples=1000)
def test_any_text_is_refused_or_stored_in_one_spelling(text: str, start: str) -> None:
    with contextlib.suppress(BadOriginUrl):
        stored = check_url(start + text)
        assert check_url(stored) == stored
        assert stored.isprintable()
        assert urlsplit(stored).password is None


def test_only_three_schemes_are_fetched_from() -> None:
    fetched = ["git://h/a", "http://h/a", "https://h/a"]
    assert [url for url in [*fetched, "ssh://h/a", "file:///a", "ftp://h/a"] if is_fetched(url)] == fetched
