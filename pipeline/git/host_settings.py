"""Configuration of hosts: limits of every one, and tables of those that differ or get a token."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr

from pipeline.git.hosts import Hosts
from pipeline.model.host import host_name, host_of
from pipeline.rules.host_state import HostLimits


class Manners(BaseModel):
    """What is asked of a host, by all processes of all crawl hosts together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int = Field(4, ge=1, description="conversations with the host at once")
    requests_per_second: float = Field(10, gt=0, description="requests, one after another at this distance")
    requests_per_night: int | None = Field(
        None, ge=0, description="requests of one night; what is left is deferred to the next; default: any number"
    )
    longest_pause_s: float = Field(3600, ge=0, description="longest pause that a host may ask for at once")

    def limits(self, machines: int) -> HostLimits:
        """The share of one of so many crawl hosts."""
        whole = HostLimits(self.requests_per_second, self.requests_per_night, self.concurrency, self.longest_pause_s)
        return whole.shared_by(machines)


class HostSettings(Manners):
    """One host; what is not set is that of ``hosts.default``."""

    username: str = Field("x-access-token", min_length=1, pattern="^[^:]*$", description="sent with the token")
    token_env: str | None = Field(None, min_length=1, description="environment variable that has the token")
    token_file: Path | None = Field(None, description="file that has the token")

    _token: SecretStr | None = PrivateAttr(None)

    @property
    def has_token(self) -> bool:
        """Whether a token is configured."""
        return self.token_env is not None or self.token_file is not None

    @property
    def token(self) -> SecretStr | None:
        """The token, if it was found."""
        return self._token

    def with_token(self, environment: Mapping[str, str]) -> HostSettings:
        """These settings with their token, if it is there."""
        found = environment.get(self.token_env, "") if self.token_env is not None else ""
        if not found and self.token_file is not None:
            try:
                found = self.token_file.read_text()
            except (OSError, UnicodeDecodeError):
                found = ""
        copy = self.model_copy()
        copy._token = SecretStr(found.strip()) if found.strip() else None
        return copy

    @property
    def login(self) -> str | None:
        """What is sent as ``Authorization`` to a git server."""
        if self._token is None:
            return None
        return "Basic " + b64encode(f"{self.username}:{self._token.get_secret_value()}".encode()).decode()


class HostsSection(BaseModel):
    """Limits of hosts: ``default`` holds for all others, except this machine."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, HostSettings] = Field(init=False)

    default: Manners = Field(default_factory=Manners, description="of every host without a table of its own")

    @property
    def named(self) -> dict[str, HostSettings]:
        """The tables of hosts, by name as in ``model.host``."""
        return {_name(key): self._complete(host) for key, host in (self.__pydantic_extra__ or {}).items()}

    def _complete(self, host: HostSettings) -> HostSettings:
        inherited = {name: getattr(self.default, name) for name in Manners.model_fields}
        own = {name: getattr(host, name) for name in host.model_fields_set}
        return host.model_copy(update=inherited | own)

    def with_tokens(self, environment: Mapping[str, str]) -> HostsSection:
        """This section with the tokens that are there."""
        hosts = {key: host.with_token(environment) for key, host in (self.__pydantic_extra__ or {}).items()}
        copy = self.model_copy()
        object.__setattr__(copy, "__pydantic_extra__", hosts)
        return copy

    @property
    def secrets(self) -> tuple[str, ...]:
        """Tokens, and how they are sent."""
        found = [(host.token, host.login) for host in self.named.values()]
        return tuple(
            text for token, login in found if token and login for text in (token.get_secret_value(), login.split()[1])
        )

    def problems(self, machines: int) -> list[str]:
        """What must be changed before origins are visited, as sentences.

        Args:
            machines: number of crawl hosts.
        """
        found = []
        for name, host in {"default": self.default, **self.named}.items():
            if host.concurrency < machines:
                found.append(f"hosts.{name}.concurrency: less than one for each of fetch.crawl_hosts")
            if isinstance(host, HostSettings) and host.has_token and host.token is None:
                where = f"the variable {host.token_env}" if host.token_env else f"the file {host.token_file}"
                found.append(f"hosts.{name}: there is no token in {where}")
        return found

    def hosts(self, folder: Path, machines: int) -> Hosts:
        """Limits and tokens for this machine."""
        named = self.named
        return Hosts(
            folder,
            self.default.limits(machines),
            {name: host.limits(machines) for name, host in named.items()},
            {name: host.login for name, host in named.items() if host.login is not None},
            {name: f"Bearer {host.token.get_secret_value()}" for name, host in named.items() if host.token is not None},
        )


def _name(key: str) -> str:
    return host_of(f"https://{key}") or host_name(key, None)
