"""What a forge says about a repository, as read from its listing, and the table that keeps it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from pipeline.model.tables import OID, TIME, Column, Table

LONGEST_TEXT = 255
"""Most characters of a name of a branch or a licence, and of a repository's id; longer ones are left out."""


class Listing(NamedTuple):
    """A repository as a page of a listing shows it; None where the forge does not say."""

    forge_id: str
    url: str
    fork: bool | None = None
    parent_id: str | None = None
    parent_url: str | None = None
    archived: bool | None = None
    private: bool | None = None
    empty: bool | None = None
    mirror: bool | None = None
    size_bytes: int | None = None
    default_branch: str | None = None
    license: str | None = None
    stars: int | None = None
    changed_at: datetime | None = None
    fingerprint: str | None = None
    head: bytes | None = None


_SHOWN = (
    Column("forge_id", pa.string(), "the forge's own id of the repository, which stays when it moves"),
    Column("url", pa.string(), "the clone URL"),
    Column("fork", pa.bool_(), "whether it is a fork; null, here and below, where the forge does not say"),
    Column("parent_id", pa.string(), "id of the repository that it was forked from"),
    Column("parent_url", pa.string(), "clone URL of that repository"),
    Column("archived", pa.bool_(), "whether it is read-only"),
    Column("private", pa.bool_(), "whether a login is needed to read it"),
    Column("empty", pa.bool_(), "whether it has no commit"),
    Column("mirror", pa.bool_(), "whether it copies a repository of another place"),
    Column("size_bytes", pa.int64(), "bytes, as the forge counts them"),
    Column("default_branch", pa.string(), "the branch that HEAD names"),
    Column("license", pa.string(), "the licence that the forge recognised"),
    Column("stars", pa.int64(), "how many people marked it"),
    Column("changed_at", TIME, "when the forge says that it last changed"),
    Column("fingerprint", pa.string(), "what the forge shows of its refs: another one whenever they change"),
    Column("head", OID, "id of the commit at HEAD"),
)

LISTINGS = Table(
    "listings",
    "a repository of a forge, as its listing last showed it",
    (
        Column("forge", pa.string(), "the forge's name in the configuration"),
        *_SHOWN,
        Column("moved_from", pa.string(), "the URL that it had before"),
        Column("refused", pa.string(), "why it may be no origin, a word of rules/listings.py; null if it may"),
        Column("first_seen", TIME, "when a listing was first merged that showed it"),
        Column("last_seen", TIME, "when one was last merged that did"),
        Column("last_pass", pa.int64(), "the last pass over the forge that showed it"),
        Column("gone_at", TIME, "when two complete passes in a row had not shown it; null while it is there"),
    ),
)
"""Made by the first merge; it has neither buckets nor nights."""

PAGE = Table(
    "page",
    "a repository on a page of a listing",
    (*_SHOWN, Column("page", pa.int64(), "number of the page in its pass, from 1")),
)
"""What a page file has."""


class Merged(BaseModel):
    """What a merge of ``listed`` repositories did: of them so many are ``new``, ``moved``, ``refused`` by reason.

    ``origins``: how many became origins; ``signalled``: how many changed since their visit; ``gone``: how many are
    taken for gone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    listed: int
    new: int
    moved: int
    refused: dict[str, int]
    origins: int
    signalled: int = 0
    gone: int = 0
