"""The configuration: one typed object, read once by the command line and passed on."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from pipeline.fetch.forges.settings import ForgesSection
from pipeline.git.conditions import DEFAULT_USER_AGENT, Conditions
from pipeline.git.host_settings import HostsSection
from pipeline.git.limits import Limits
from pipeline.git.network import AddressPolicy
from pipeline.model.errors import UsageError
from pipeline.model.pattern import parse_pattern
from pipeline.rules.budget import Budget
from pipeline.rules.night_budget import NightBudget, Shares
from pipeline.rules.promise import least_age
from pipeline.storage.settings import HdfsSettings
from pipeline.tables.settings import SparkSettings

SEARCHED = (Path("conf/local.toml"),)
"""Where to look for a configuration if none is named; without one the defaults apply."""


class BadConfiguration(UsageError):
    """The configuration is unusable."""

    def __init__(self, path: str, problems: Sequence[str]) -> None:
        super().__init__(path, tuple(problems))
        self.path, self.problems = path, tuple(problems)

    def __str__(self) -> str:
        return f"{self.path}: " + "; ".join(self.problems)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArchiveSection(_Section):
    """Where the archive is."""

    location: str = Field("archive", description="folder, or hdfs://host:port/folder; relative to the current folder")
    buckets: int = Field(8, ge=1, le=65_536, description="used once, by init; 8 on a laptop, 1024 on 1,000 threads")
    lease_s: float = Field(300, gt=0, description="seconds after which a silent run loses the archive")


def _network(value: object) -> object:
    """The network that a text says; pydantic's own errors would name each kind of network by its validators."""
    if not isinstance(value, str):
        return value
    try:
        return ip_network(value)
    except ValueError:
        raise PydanticCustomError("network", "{value} is not a network, such as 10.0.0.0/8", {"value": value}) from None


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]


class FetchSection(_Section):
    """How origins are visited."""

    refs: tuple[str, ...] = Field(
        ("HEAD", "refs/heads/", "refs/tags/"), min_length=1, description="refs to archive: HEAD and prefixes"
    )
    workers: int = Field(1, ge=1, description="buckets fetched at once, each in its own process")
    concurrency: int = Field(4, ge=1, description="origins of one bucket visited at once; decoding takes turns")
    run_bytes: int = Field(
        256 << 20, ge=1 << 20, le=1 << 30, description="raw bytes written together; memory is about three times this"
    )
    scratch: Path | None = Field(None, description="local folder for packs and files in transit; default: the system's")
    allowed_networks: tuple[Network, ...] = Field(
        (), description="networks allowed in addition to public addresses, such as 10.0.0.0/8"
    )
    crawl_hosts: int = Field(
        1, ge=1, description="machines that fetch at once; each takes an equal share of all limits"
    )
    newcomers: int = Field(
        0,
        ge=0,
        le=10_000,
        description="origins of a load that are asked before their first visit, to find undeclared forks; 0: none",
    )
    user_agent: str = Field(
        DEFAULT_USER_AGENT, min_length=1, description="sent to HTTP servers; public forges want a name and a contact"
    )
    limits: Limits = Field(default_factory=Limits, description="of one visit")

    @property
    def scratch_folder(self) -> Path:
        """The scratch folder, which need not exist yet."""
        return self.scratch or Path(tempfile.gettempdir()) / "git-lakehouse"

    @property
    def hosts_folder(self) -> Path:
        """Where the states of hosts are kept, for all runs on this machine; it need not exist yet."""
        return self.scratch_folder / "hosts"


class NightlySection(_Section):
    """What a night does after its tables are complete."""

    jobs: tuple[str, ...] = Field(("language_census",), description="jobs run on every night")


def _night_budget(text: str) -> str:
    NightBudget.parse(text)
    return text


def _patterns(importance: Mapping[str, float]) -> Mapping[str, float]:
    for pattern in importance:
        try:
            parse_pattern(pattern)
        except UsageError as error:
            raise ValueError(str(error)) from None
    return importance


class SharesSection(_Section):
    """Parts of the budget that are kept for some."""

    oldest: float = Field(0.1, gt=0, le=0.5, description="for those that wait longest")
    first: float = Field(0.3, gt=0, description="for first visits")
    failed: float = Field(0.05, gt=0, description="for origins whose last visit failed")

    @model_validator(mode="after")
    def _leave_something(self) -> SharesSection:
        if self.oldest + self.first + self.failed >= 1:
            raise ValueError("together they are the whole budget, so nothing is left for the other origins")
        return self

    @property
    def shares(self) -> Shares:
        """For the rules."""
        return Shares(self.oldest, self.first, self.failed)


class ScheduleSection(_Section):
    """Which of the due origins a night visits."""

    budget: Annotated[str, AfterValidator(_night_budget)] | None = Field(
        None, description="origins, CPU time and requests to each host of a night; default: all that are due"
    )
    greatest_age_nights: int = Field(
        90, ge=1, description="nights after which a due origin is visited at the latest, but for hosts with too many"
    )
    importance: Annotated[dict[str, PositiveFloat], AfterValidator(_patterns)] = Field(
        default_factory=dict, description="what a night of waiting counts, by URL or https://host/owner/*; others 1"
    )
    shares: SharesSection = Field(default_factory=SharesSection, description="kept for some")

    @model_validator(mode="after")
    def _promise_something(self) -> ScheduleSection:
        least = 1.0 if self.budget is None else least_age(NightBudget.parse(self.budget), self.shares.shares)
        if least > self.greatest_age_nights:
            raise ValueError(
                f"greatest_age_nights is {self.greatest_age_nights:,}, and with {100 * self.shares.oldest:g} % of the "
                f"budget for the oldest even a single origin may wait {least:,.1f} nights"
            )
        return self


def _budget(text: str) -> str:
    Budget.parse(text)
    return text


class MaintainSection(_Section):
    """What housekeeping keeps, and for how long."""

    dailies: int = Field(30, ge=1, description="number of newest nights to keep")
    monthlies: int = Field(12, ge=0, description="of older nights, keep the first of this many months")
    snapshot_age_s: float = Field(
        3 * 86_400, ge=0, description="seconds that jobs may still read replaced data or retired nights"
    )
    sweep_after_s: float = Field(
        86_400, ge=0, description="seconds after which unreferenced files no longer count as a running task's"
    )
    small_files: int = Field(16, ge=1, description="small files per table and bucket that are left alone")
    small_file_bytes: int = Field(128 << 20, ge=1 << 10, description="a data file below this is small")
    small_manifests: int = Field(50, ge=1, description="small manifests per table that are left alone")
    compact_budget: Annotated[str, AfterValidator(_budget)] = Field(
        "1h", description="start no further compaction after this time, 30m, or bytes rewritten, 10GB; 0s: none"
    )
    compact_level: int = Field(
        18, ge=1, le=22, description="zstd level of compacted contents and trees; at most 11 up to 16 MiB"
    )
    compact_bytes: int = Field(
        192 << 20, ge=1 << 20, le=256 << 20, description="raw bytes of a compacted row group; memory: 1.6 GB"
    )


class LuigiSection(_Section):
    """How tasks are scheduled."""

    scheduler: str | None = Field(
        None, pattern=r"^[^@/?#\s]+:[0-9]{1,5}$", description="host:port of a luigid; default: within the process"
    )
    attempts: int = Field(3, ge=1, description="attempts of a task whose error says that a retry may help")
    first_pause_s: float = Field(2, ge=0, description="seconds before the second attempt; doubles each time")


class LogSection(_Section):
    """What is logged, to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="lowest level shown")
    format: Literal["text", "json"] = Field("text", description="lines for people, or one JSON object per event")


class Gateway(NamedTuple):
    """A Pushgateway: where it is, and USER:PASSWORD if it wants a login."""

    address: str
    login: str | None


def _gateway(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or parts.query or parts.fragment:
        raise ValueError("it must be http:// or https://, with a host and perhaps a port, a login and a path")
    return url


MOST_PORT = 65_535


def _endpoint(address: str) -> str:
    if address and int(address.rpartition(":")[2]) > MOST_PORT:
        raise ValueError(f"its port must be at most {MOST_PORT}")
    return address


class MetricsSection(_Section):
    """Where numbers about runs and the archive go, for Prometheus."""

    listen: Annotated[str, AfterValidator(_endpoint)] = Field(
        "",
        pattern=r"^$|^(\[[0-9a-f:.]+\]|[^\s/@:\[\]]+):[0-9]{1,5}$",
        description="host:port of an endpoint that is there during a run; default: none",
    )
    pushgateway: Annotated[SecretStr, AfterValidator(_gateway)] | None = Field(
        None, description="URL of a Pushgateway that gets them at the end, with a login if it wants one; default: none"
    )
    textfiles: Path | None = Field(
        None, description="folder that the node exporter reads, which gets them as files at the end; default: none"
    )
    job: str = Field("git-lakehouse", min_length=1, description="label of what is pushed")
    instance: str = Field("", description="label of what is pushed about this machine, its scratch; default: none")

    @property
    def gateway(self) -> Gateway | None:
        """The Pushgateway."""
        if self.pushgateway is None:
            return None
        parts = urlsplit(self.pushgateway.get_secret_value())
        login, at, place = parts.netloc.rpartition("@")
        return Gateway(f"{parts.scheme}://{place}{parts.path}", unquote(login) if at else None)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The login and its password, as they are written in the configuration, and as they are."""
        if self.pushgateway is None:
            return ()
        written, _, _ = urlsplit(self.pushgateway.get_secret_value()).netloc.rpartition("@")
        logins = (written, unquote(written))
        return tuple(filter(None, (*logins, *(login.partition(":")[2] for login in logins))))


class Config(_Section):
    """Everything that can be configured."""

    archive: ArchiveSection = Field(default_factory=ArchiveSection)
    fetch: FetchSection = Field(default_factory=FetchSection)
    hosts: HostsSection = Field(default_factory=HostsSection)
    forges: ForgesSection = Field(default_factory=ForgesSection)
    nightly: NightlySection = Field(default_factory=NightlySection)
    schedule: ScheduleSection = Field(default_factory=ScheduleSection)
    maintain: MaintainSection = Field(default_factory=MaintainSection)
    spark: SparkSettings = Field(default_factory=SparkSettings)
    hdfs: HdfsSettings | None = None
    luigi: LuigiSection = Field(default_factory=LuigiSection)
    log: LogSection = Field(default_factory=LogSection)
    metrics: MetricsSection = Field(default_factory=MetricsSection)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets of HDFS, Spark, hosts and the Pushgateway."""
        token = self.hdfs.delegation_token if self.hdfs is not None else None
        of_hdfs = (token.get_secret_value(),) if token is not None else ()
        return (*self.spark.secrets, *self.hosts.secrets, *self.metrics.secrets, *of_hdfs)

    @property
    def conditions(self) -> Conditions:
        """The conditions of every visit.

        Raises:
            BadConfiguration: a token is not there, or a limit is too low to be shared.
        """
        fetch = self.fetch
        problems = self.hosts.problems(fetch.crawl_hosts)
        if problems:
            raise BadConfiguration("configuration", problems)
        return Conditions(
            AddressPolicy(fetch.allowed_networks),
            fetch.limits,
            tuple(prefix.encode() for prefix in fetch.refs),
            fetch.user_agent,
            self.hosts.hosts(fetch.hosts_folder, fetch.crawl_hosts),
        )

    def with_tokens(self, environment: Mapping[str, str]) -> Config:
        """This configuration with the tokens of hosts, as far as they are there."""
        return self.model_copy(update={"hosts": self.hosts.with_tokens(environment)})

    def with_budget(self, budget: str | None) -> Config:
        """This configuration with another budget of a night, if given.

        Raises:
            UsageError: it is none, or too small for ``greatest_age_nights`` whatever the archive has.
        """
        if budget is None:
            return self
        try:
            schedule = ScheduleSection.model_validate(self.schedule.model_dump() | {"budget": budget})
        except ValidationError as error:
            raise UsageError("; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors())) from None
        return self.model_copy(update={"schedule": schedule})

    def with_workers(self, workers: int | None) -> Config:
        """This configuration with another number of buckets fetched at once, if given."""
        if workers is None:
            return self
        return self.model_copy(update={"fetch": self.fetch.model_copy(update={"workers": workers})})

    def at(self, location: str | None) -> Config:
        """This configuration with another archive location, if given."""
        if location is None:
            return self
        return self.model_copy(update={"archive": self.archive.model_copy(update={"location": location})})


def find_config(path: Path | None) -> Path | None:
    """The given path; without one, the first of ``SEARCHED`` that exists; None if there is none."""
    return path or next((candidate for candidate in SEARCHED if candidate.is_file()), None)


def load_config(path: Path | None) -> Config:
    """Read a TOML file, the one of ``find_config``; without any, the defaults.

    Raises:
        BadConfiguration: no such file, not TOML, an unknown key or a bad value, each named.
    """
    path = find_config(path)
    if path is None:
        return Config()
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise BadConfiguration(str(path), [error.strerror or str(error)]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfiguration(str(path), [f"not TOML: {error}"]) from None
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {_sentence(e)}" for e in error.errors(include_input=False)]
        raise BadConfiguration(str(path), problems) from None


def _sentence(error: ErrorDetails) -> str:
    return "no such key" if error["type"] == "extra_forbidden" else error["msg"]
