import pytest

from pipeline.model.origin import BadOriginUrl, check_url, is_fetched


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
    ],
)
def test_what_can_not_be_an_origin_is_named_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(BadOriginUrl, match=why):
        check_url(url)


@pytest.mark.parametrize("url", ["https://token@example.org/a.git", "ssh://git:s3cret@example.org/a.git"])
def test_what_may_be_a_secret_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadOriginUrl, match="do not belong") as caught:
        check_url(url)
    assert "token" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_only_three_schemes_are_fetched_from() -> None:
    fetched = ["git://h/a", "http://h/a", "https://h/a"]
    assert [url for url in [*fetched, "ssh://h/a", "file:///a", "ftp://h/a"] if is_fetched(url)] == fetched
