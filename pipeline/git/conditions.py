"""What every conversation of a run keeps to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipeline.git.hosts import UNLIMITED, Hosts
from pipeline.git.limits import Limits
from pipeline.git.network import AddressPolicy
from pipeline.model.errors import UsageError
from pipeline.model.host import host_of
from pipeline.model.pattern import OptOuts

DEFAULT_USER_AGENT = "git/git-lakehouse"

PUBLIC_FORGES = frozenset(
    (
        "android.googlesource.com", "api.bitbucket.org", "api.github.com", "bitbucket.org",
        "chromium.googlesource.com", "code.launchpad.net", "codeberg.org",
        "framagit.org", "git.code.sf.net", "git.kernel.org", "git.launchpad.net", "git.savannah.gnu.org",
        "git.savannah.nongnu.org", "git.sr.ht", "gitea.com", "gitee.com", "github.com", "gitlab.com",
        "gitlab.freedesktop.org", "gitlab.gnome.org", "gitlab.inria.fr", "go.googlesource.com", "invent.kde.org",
        "notabug.org", "pagure.io", "salsa.debian.org", "sourceforge.net", "src.fedoraproject.org",
    )
)  # fmt: skip
"""Hosts that are not crawled without a name: they must be able to tell who asks, and to complain."""

NOTHING = OptOuts(())


class NamelessCrawl(UsageError):
    """Origins of a public forge would be visited with the default user agent."""

    def __init__(self, forge: str) -> None:
        super().__init__(forge)
        self.forge = forge

    def __str__(self) -> str:
        return (
            f"{self.forge} is not crawled without a name: set user_agent in [fetch] to who you are and how to reach "
            f'you, such as "git/my-archive (+https://example.org/crawler)"'
        )


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions of every conversation of a run. No redirect leads to what is ``kept_out``."""

    policy: AddressPolicy
    limits: Limits
    prefixes: tuple[bytes, ...]
    user_agent: str
    hosts: Hosts = UNLIMITED
    kept_out: OptOuts = NOTHING

    def keeping_out(self, kept_out: OptOuts) -> Conditions:
        """The same, of which no redirect leads to these."""
        return replace(self, kept_out=kept_out)

    def check_name(self, origins: Iterable[str]) -> None:
        """Refuse to visit public forges without a name.

        Raises:
            NamelessCrawl: the user agent is the default one, and an origin is of such a forge.
        """
        if self.user_agent == DEFAULT_USER_AGENT:
            forge = next((host for url in origins if (host := host_of(url)) in PUBLIC_FORGES), None)
            if forge is not None:
                raise NamelessCrawl(forge)
