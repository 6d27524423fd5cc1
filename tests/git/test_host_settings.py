"""What the configuration says about hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.context.config import BadConfiguration, Config, load_config
from pipeline.git.hosts import Hosts


def configured(**hosts: Any) -> Config:
    return Config.model_validate({"hosts": {name.replace("__", "."): keys for name, keys in hosts.items()}})


def hosts_of(config: Config) -> Hosts:
    return config.conditions.hosts


def test_a_host_s_table_fills_up_from_the_default() -> None:
    hosts = hosts_of(configured(default={"concurrency": 7, "requests_per_night": 9}, h__example={"concurrency": 3}))
    mine, others = hosts.limits_of("h.example"), hosts.limits_of("other.example")
    assert mine is not None
    assert others is not None
    assert (mine.conversations, mine.per_night, others.conversations) == (3, 9, 7)


@pytest.mark.parametrize("key", ["H.Example.", "h.example:443", "h.example:9418"])
def test_a_host_is_found_however_it_is_written(key: str) -> None:
    hosts = hosts_of(Config.model_validate({"hosts": {key: {"concurrency": 3}}}))
    assert list(hosts.named) == ["h.example"]


def test_this_machine_has_no_limits_unless_it_is_named() -> None:
    named = Config.model_validate({"hosts": {"localhost:81": {}, "default": {"concurrency": 2}}})
    hosts = hosts_of(named)
    assert [hosts.limits_of(name) is None for name in ("127.0.0.1", "localhost:80", "[::1]", "localhost:81", "h")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_crawl_hosts_share_the_limits() -> None:
    config = Config.model_validate(
        {
            "fetch": {"crawl_hosts": 3},
            "hosts": {"default": {"concurrency": 7, "requests_per_second": 6, "requests_per_night": 100}},
        }
    )
    limits = hosts_of(config).limits_of("h.example")
    assert limits is not None
    assert (limits.conversations, limits.per_second, limits.per_night) == (2, 2.0, 33)


def test_too_little_to_share_is_a_problem_before_anything_is_visited() -> None:
    config = Config.model_validate({"fetch": {"crawl_hosts": 3}, "hosts": {"h.example": {"concurrency": 2}}})
    with pytest.raises(
        BadConfiguration, match=r"hosts\.h\.example\.concurrency: less than one for each of fetch\.crawl_"
    ):
        hosts_of(config)


@pytest.mark.parametrize(
    ("keys", "where"),
    [({"token_env": "FORGE"}, "the variable FORGE"), ({"token_file": "/no/such/file"}, "the file /no/such/file")],
)
def test_a_token_that_is_not_there_is_a_problem_for_who_visits(keys: dict[str, Any], where: str) -> None:
    config = configured(h__example=keys).with_tokens({})
    assert config.secrets == (), "other commands do not need it"
    with pytest.raises(BadConfiguration, match=f"there is no token in {where}"):
        hosts_of(config)


def test_tokens_stay_with_a_configuration_that_is_changed() -> None:
    config = configured(h__example={"token_env": "FORGE"}).with_tokens({"FORGE": "t0ken"}).at("elsewhere")
    assert list(hosts_of(config).logins) == ["h.example"]


@pytest.mark.parametrize(
    "text",
    [
        "[hosts.default]\ntoken_env = 'X'",
        "[hosts.h]\ntoken = 'written here'",
        "[hosts.github.com]\nconcurrency = 3",
        "[hosts.default]\nrequests_per_second = 0",
        "[hosts]\nconcurrency = 3",
    ],
    ids=["a token for all", "a token in the file", "no quotes", "never", "no table"],
)
def test_what_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(BadConfiguration):
        load_config(tmp_path / "c.toml")
