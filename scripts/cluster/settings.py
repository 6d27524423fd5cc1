"""What ``conf/cluster.toml`` says of buckets, crawl hosts and manners."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pipeline.git.host_settings import HostsSection
from pipeline.rules.host_state import HostLimits

CONF = Path(__file__).parents[2] / "conf" / "cluster.toml"
_SET = tomllib.loads(CONF.read_text())

BUCKETS: int = _SET["archive"]["buckets"]

CONCURRENCY: int = _SET["fetch"]["concurrency"]
"""Origins that a fetch task visits at once."""

BLOCK_BYTES: int = _SET["hdfs"]["block_size_bytes"]

_CRAWL_HOSTS: int = _SET["fetch"]["crawl_hosts"]
_HOSTS = HostsSection.model_validate(_SET["hosts"])


def limits_of(host: str) -> HostLimits:
    """What all crawl hosts together may ask of a host: their equal shares, rounded down as each of them does."""
    share = _HOSTS.named.get(host, _HOSTS.default).limits(_CRAWL_HOSTS)
    return share._replace(
        per_second=share.per_second * _CRAWL_HOSTS,
        per_night=None if share.per_night is None else share.per_night * _CRAWL_HOSTS,
        conversations=share.conversations * _CRAWL_HOSTS,
    )
