"""What a run may ask of each host, and the token that it sends there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.model.host import hides, host_of, is_loopback
from pipeline.rules.host_state import HostLimits


@dataclass(frozen=True, slots=True)
class Hosts:
    """Limits and tokens by host, named as in ``model.host``.

    Attributes:
        folder: where the states of hosts are kept, for all processes of this machine.
        others: limits of each host that is not named; None for none. This machine has none unless it is named.
        named: limits of the hosts that have their own.
        logins: what to send as ``Authorization`` to git's servers.
        api_logins: what to send as ``Authorization`` to the interfaces of forges.
    """

    folder: Path
    others: HostLimits | None = None
    named: Mapping[str, HostLimits] = field(default_factory=dict)
    logins: Mapping[str, str] = field(default_factory=dict, repr=False)
    api_logins: Mapping[str, str] = field(default_factory=dict, repr=False)

    def limits_of(self, name: str) -> HostLimits | None:
        """What may be asked of a host; None for anything."""
        found = self.named.get(name)
        return self.others if found is None and not is_loopback(name) else found

    def has_api_login(self, url: str) -> bool:
        """Whether a request to this URL, of a forge's interface, would have a token of ours."""
        name = host_of(url)
        return name is not None and name in self.api_logins and hides(urlsplit(url).scheme, name)


UNLIMITED = Hosts(Path())
"""No limits, no tokens and no files."""
