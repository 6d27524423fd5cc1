"""Configuration of a forge: what kind it is, where it is, and which of its repositories become origins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pipeline.fetch.forges.by_id import GitHub, GitLab
from pipeline.fetch.forges.by_offset import Gitea
from pipeline.fetch.forges.by_time import Bitbucket
from pipeline.fetch.forges.cgit import Cgit
from pipeline.fetch.forges.cursor import Pager
from pipeline.fetch.forges.whole import Gitweb, Grokmirror, Lines
from pipeline.model.errors import UsageError
from pipeline.model.host import host_of
from pipeline.model.pattern import parse_pattern
from pipeline.model.redact import is_secret_name

FILE = "file"
EVENTS = "events"

_INTERFACES: dict[str, type[Bitbucket | Gitea | GitLab]] = {"bitbucket": Bitbucket, "gitea": Gitea, "gitlab": GitLab}
_INDEXES: dict[str, type[Gitweb | Grokmirror]] = {"gitweb": Gitweb, "grokmirror": Grokmirror}

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme == FILE:
        if not parts.path.startswith("/") or parts.netloc:
            raise ValueError("a file is named as file:///folder/name")
    elif parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("give an address that begins with https:// or http://, without a login")
    if any(is_secret_name(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise ValueError("an address is kept and shown: give a token in [hosts], not in a parameter")
    return text.rstrip("/")


def _pattern(text: str) -> str:
    try:
        return str(parse_pattern(text))
    except UsageError as error:
        raise ValueError(str(error)) from None


_Pattern = Annotated[str, AfterValidator(_pattern)]


class ForgeSettings(BaseModel):
    """A forge whose repositories are listed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["list", "bitbucket", "cgit", "events", "gitea", "github", "gitlab", "gitweb", "grokmirror"] = Field(
        description="gitea is Forgejo, too; list: a text of clone URLs; events: hours of GH Archive"
    )
    url: Annotated[str, AfterValidator(_address)] = Field(
        description="https://codeberg.org, https://api.github.com, https://gitlab.com; else of a page"
    )
    clones: Annotated[str, AfterValidator(_address)] | None = Field(
        None,
        description="what paths of cgit (default: url), events, gitweb, grokmirror are appended to; else a second host",
    )
    forks: bool = Field(True, description="whether forks become origins")
    archived: bool = Field(True, description="whether read-only repositories become origins")
    largest_bytes: int | None = Field(None, ge=0, description="larger ones, as the forge says, do not; default: any do")
    only: tuple[_Pattern, ...] = Field((), description="URLs and prefixes such as https://host/owner/*; default: all")
    without: tuple[_Pattern, ...] = Field((), description="URLs and prefixes that do not become origins")
    details: bool = Field(
        True, description="of github: whether GraphQL is asked, too, HEAD ids among it, if its host has a token"
    )
    full_days: int = Field(30, ge=0, description="days from one full pass to the next; others look for what is new")
    page_bytes: int = Field(16 << 20, gt=0, description="bytes of a page")
    most: int = Field(10_000_000, gt=0, description="repositories of a pass; a forge that lists more is not believed")
    hours: int = Field(48, gt=0, le=720, description="of events: how far back hours are read, at first and later")
    hour_bytes: int = Field(
        512 << 20, gt=0, description="of events: bytes of an hour, compressed; inflated 16 times so many"
    )
    ids_of: str | None = Field(None, description="of events: the forge of this file whose repository ids they have")

    @model_validator(mode="after")
    def _fits(self) -> ForgeSettings:
        if self.is_file and self.kind != "list":
            raise ValueError("only a list can be a file")
        if self.kind in (*_INDEXES, EVENTS) and self.clones is None:
            raise ValueError(f"say in clones what the paths of {self.kind} are appended to")
        if self.ids_of is not None and self.kind != EVENTS:
            raise ValueError("ids_of is for events")
        return self

    @property
    def is_file(self) -> bool:
        """Whether the listing is a file of this machine."""
        return urlsplit(self.url).scheme == FILE

    @property
    def file(self) -> Path:
        """The path of that file."""
        return Path(urlsplit(self.url).path)

    @property
    def clone_hosts(self) -> frozenset[str]:
        """Names of the hosts that clone URLs may lead to."""
        own = host_of(self.url) or ""
        named = host_of(self.clones) if self.clones is not None else None
        found = {own, own.removeprefix("api.") if self.kind in ("bitbucket", "github") else own, named}
        return frozenset(name for name in found if name)

    @property
    def by_commits(self) -> bool:
        """Whether the times of change that it shows are those of the newest commits, which may have come much later."""
        return self.kind in ("cgit", "grokmirror")

    @property
    def has_details(self) -> bool:
        """Whether it is asked for what its pages lack, if there is a token."""
        return self.kind == "github" and self.details

    @property
    def finds_changes(self) -> bool:
        """Whether each pass finds what changed since the one before."""
        return self.kind != "github"

    def pager(self, *, has_token: bool = False) -> Pager:
        """The rules by which the forge is listed; without a token, some ask for less. Events have none of these."""
        if self.kind == "list":
            return Lines(self.url)
        if self.kind == "cgit":
            return Cgit(self.url, self.clones or self.url, self.clone_hosts)
        if self.kind in _INDEXES:
            return _INDEXES[self.kind](self.url, self.clones or "", self.clone_hosts, self.page_bytes)
        if self.kind == "github":
            return GitHub(self.url, self.clone_hosts, asks_details=self.has_details and has_token)
        return _INTERFACES[self.kind](self.url, self.clone_hosts)


class ForgesSection(BaseModel):
    """Forges by the names that commands and tables have for them: a table for each."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, ForgeSettings] = Field(init=False)

    @model_validator(mode="after")
    def _named_well(self) -> ForgesSection:
        bad = [name for name in self.named if not _NAME.fullmatch(name)]
        if bad:
            raise ValueError(f"{', '.join(bad)}: a name has small letters, digits, dots, hyphens and underscores")
        for name, forge in self.named.items():
            if forge.ids_of is not None and forge.ids_of not in self.named:
                raise ValueError(f"{name}: ids_of names no forge here")
        return self

    @property
    def named(self) -> dict[str, ForgeSettings]:
        """The forges, in the order of the file."""
        return dict(self.__pydantic_extra__ or {})
