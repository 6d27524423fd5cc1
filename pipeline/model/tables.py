"""The tables: columns, types and meaning, in one place for Arrow, Parquet and Iceberg.

Every table begins with ``bucket`` (its identity partition) and ``network``. Ids are 20 raw bytes. Times are UTC
microseconds, with the original offset in minutes beside them. Text columns hold UTF-8 text; where git's bytes are not
UTF-8, the text is decoded for people, and a ``raw`` or ``*_raw`` column beside it, else null, holds the exact bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa

NAMESPACE = "code"
TIME = pa.timestamp("us", tz="UTC")
OID = pa.binary()
OIDS = pa.list_(OID)
EXTRA = pa.list_(pa.struct([pa.field("key", pa.string()), pa.field("value", pa.string())]))


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``doc`` becomes the column comment in Iceberg."""

    name: str
    type: pa.DataType
    doc: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the archive.

    Fetch tasks write ``landed`` tables as Parquet and Publish registers the files; Spark writes the others.
    """

    name: str
    doc: str
    columns: tuple[Column, ...]
    landed: bool = False

    @property
    def arrow_schema(self) -> pa.Schema:
        """Columns in table order, all nullable, as in the landed files."""
        return pa.schema([pa.field(c.name, c.type) for c in self.columns])

    @property
    def column_names(self) -> tuple[str, ...]:
        """Column names in table order."""
        return tuple(c.name for c in self.columns)


_PLACE = (
    Column("bucket", pa.int32(), "network mod the archive's number of buckets"),
    Column("network", pa.int64(), "id of the fork root that the object came in with"),
)


def _person(role: str) -> tuple[Column, ...]:
    return (
        Column(f"{role}_name", pa.string(), f"name of the {role}"),
        Column(f"{role}_email", pa.string(), f"e-mail address of the {role}"),
        Column(f"{role}_time", TIME, "UTC; null where git's number is no date between the years 1 and 9999"),
        Column(f"{role}_offset", pa.int32(), "minutes east of UTC as written"),
    )


ORIGINS = Table(
    "origins",
    "an origin: a clone URL that is archived",
    (
        *_PLACE,
        Column("url", pa.string(), "the clone URL"),
        Column("fork_of", pa.string(), "URL of the fork root, declared or found; null for a root"),
        Column("state", pa.string(), "active, paused, opted_out or gone"),
        Column("added_at", TIME, "when it was added"),
        Column("next_due", pa.date32(), "the first night on which it is looked at again"),
        Column("last_visit", TIME, "start of the last visit"),
        Column("last_status", pa.string(), "status of the last visit"),
        Column("last_error", pa.string(), "error code of the last visit"),
        Column("failures", pa.int32(), "visits in a row that did not end well"),
        Column("asked_at", TIME, "when people asked for a visit; null after one"),
        Column("signalled_at", TIME, "since when a signal tells of a change; null after a good visit"),
        Column(
            "signals",
            pa.list_(pa.string()),
            "kinds of the signals since then: pushed, updated, committed, fingerprint, head, event; null also if an "
            "earlier version noted one",
        ),
        Column("changes", pa.float64(), "nights with a change, by what visits found; older ones count less"),
        Column("silent", pa.float64(), "those of them of which no signal told"),
        Column("watched", pa.float64(), "nights among which they were counted; older ones count less"),
        Column("objects", pa.float64(), "new objects of a visit, on average; recent visits count more"),
        Column("newest_commit", TIME, "the newest of its visits' `newest_commit`; null if there is none"),
        Column(
            "commit_days",
            pa.int32(),
            "sum of its visits' `commit_days`: a day counts once per visit that brought commits of it; null if the "
            "origin is older than format 5 and no visit since then brought a commit",
        ),
    ),
)
VISITS = Table(
    "visits",
    "a visit: one attempt on one origin",
    (
        *_PLACE,
        Column("origin", pa.string(), "the origin's URL"),
        Column("night", pa.date32(), "logical date of the run"),
        Column("run_id", pa.string(), "the run that made it"),
        Column("status", pa.string(), "unchanged, full, partial, not_found, refused, deferred or failed"),
        Column("error", pa.string(), "error code, null if all is well"),
        Column("detail", pa.string(), "what happened, for people"),
        Column("started_at", TIME, "start of the visit"),
        Column("duration_s", pa.float64(), "seconds"),
        Column("pack_bytes", pa.int64(), "bytes of pack received"),
        Column("objects", pa.int64(), "objects new to the network"),
        Column(
            "newest_commit",
            TIME,
            "the newest committer time of the commits new to the network, from 1970 until the start of the visit; "
            "null if there is none",
        ),
        Column(
            "commit_days",
            pa.int32(),
            "on how many days, in UTC, these commits were made, by committer times within the same limits; null if "
            "the visit is older than format 5",
        ),
    ),
    landed=True,
)
REFS = Table(
    "refs",
    "a ref that a visit found changed, HEAD among them",
    (
        *_PLACE,
        Column("origin", pa.string(), "the origin's URL"),
        Column("night", pa.date32(), "night of the visit"),
        Column("name", pa.string(), "full ref name, or HEAD"),
        Column("name_raw", pa.binary(), "the exact name where it is not UTF-8"),
        Column("target", OID, "object id; null when the ref is gone, or is a symref to a ref that does not exist"),
        Column("peeled", OID, "what an annotated tag finally points at, null otherwise"),
        Column("symref", pa.string(), "the ref that a symbolic ref names, null otherwise"),
        Column("symref_raw", pa.binary(), "the exact name of that ref where it is not UTF-8"),
    ),
    landed=True,
)
COMMITS = Table(
    "commits",
    "a commit",
    (
        *_PLACE,
        Column("oid", OID, "object id"),
        Column("tree", OID, "id of its tree"),
        Column("parents", OIDS, "ids of its parents, in order"),
        *_person("author"),
        *_person("committer"),
        Column("message", pa.string(), "the message"),
        Column("encoding", pa.string(), "declared encoding, null for UTF-8"),
        Column("signature", pa.string(), "the gpgsig header"),
        Column("extra", EXTRA, "other headers in order"),
        Column("raw", pa.binary(), "the exact object body, only where the columns do not rebuild it"),
    ),
    landed=True,
)
TREES = Table(
    "trees",
    "a tree",
    (
        *_PLACE,
        Column("oid", OID, "object id"),
        Column("at_head", pa.bool_(), "belongs to the tree of an origin's HEAD, now or on an earlier night"),
        Column("content", pa.binary(), "the object body: mode SP name NUL 20-byte id, repeated"),
    ),
    landed=True,
)
TAGS = Table(
    "tags",
    "an annotated tag",
    (
        *_PLACE,
        Column("oid", OID, "object id"),
        Column("target", OID, "id of the tagged object"),
        Column("target_type", pa.string(), "commit, tree, blob or tag"),
        Column("name", pa.string(), "tag name as written in the object"),
        *_person("tagger"),
        Column("message", pa.string(), "the message, an inline signature included"),
        Column("signature", pa.string(), "the gpgsig header"),
        Column("extra", EXTRA, "other headers in order"),
        Column("raw", pa.binary(), "the exact object body, only where the columns do not rebuild it"),
    ),
    landed=True,
)
BLOBS = Table(
    "blobs",
    "a blob, without its bytes",
    (
        *_PLACE,
        Column("oid", OID, "object id"),
        Column("sha256", pa.binary(), "SHA-256 of the bytes, without git's header"),
        Column("size", pa.int64(), "bytes"),
        Column("name", pa.string(), "a file name it was first seen under, empty if none is known"),
        Column("ext", pa.string(), "the name's extension in lower case without the dot, empty if none"),
        Column("is_binary", pa.bool_(), "a NUL byte among the first 8,000, git's own rule"),
        Column("stored", pa.string(), "yes, or why its bytes are not kept: too_large, taken_down"),
    ),
    landed=True,
)
CONTENTS = Table(
    "contents",
    "a blob's bytes",
    (
        *_PLACE,
        Column("oid", OID, "object id"),
        Column("size", pa.int64(), "bytes"),
        Column("ext", pa.string(), "as in blobs"),
        Column("name", pa.string(), "as in blobs"),
        Column("at_head", pa.bool_(), "belongs to the tree of an origin's HEAD, now or on an earlier night"),
        Column("content", pa.binary(), "the bytes"),
    ),
    landed=True,
)
FILES = Table(
    "files",
    "a path in the tree of an origin's HEAD; stored as lines that origins share, see docs/architecture.md",
    (
        *_PLACE,
        Column(
            "origin",
            pa.string(),
            "the origin's URL; stored only in rows of earlier versions, and null in those of a line",
        ),
        Column("path", pa.string(), "path from the root of the tree, with /"),
        Column("path_raw", pa.binary(), "the exact path where it is not UTF-8"),
        Column("name", pa.string(), "last part of the path"),
        Column("ext", pa.string(), "as in blobs"),
        Column("mode", pa.int32(), "git's file mode"),
        Column(
            "kind",
            pa.string(),
            "file, symlink or submodule; stored also: gone, a path of its base that a line lacks, and tree, its root",
        ),
        Column("oid", OID, "id of the blob, of a submodule's commit, or of the root tree"),
        Column("line", pa.int64(), "stored only: the line, which has the paths of one root tree"),
        Column(
            "base", pa.int64(), "stored only: the line that has all other paths of the tree; null if this one has all"
        ),
    ),
)
GONE, TREE = "gone", "tree"
"""Kinds of rows of ``files`` that are no files: a path of the base that a line lacks, and the root tree of a line."""

FILE_COLUMNS = FILES.column_names[:-2]
"""Columns of ``files`` as readers see it: a row per path and origin."""

HEAD_BLOBS = Table(
    "head_blobs",
    "a distinct blob at HEAD of a network's origins",
    (
        *_PLACE,
        Column("oid", OID, "object id"),
        Column("name", pa.string(), "a file name it has at HEAD, that of a licence file if it has one"),
        Column("ext", pa.string(), "as in blobs"),
        Column("size", pa.int64(), "bytes"),
        Column("is_binary", pa.bool_(), "as in blobs"),
        Column("language", pa.string(), "language of any type, null if none was recognised"),
        Column("lines", pa.int64(), "lines of text, null for binary or not stored"),
        Column(
            "is_generated",
            pa.bool_(),
            "a program wrote it, by name and content; null only if an earlier version wrote the row",
        ),
        Column("spdx_id", pa.string(), "the licence of which it is the text, null if of none or not named like one"),
        Column("spdx_confidence", pa.float64(), "how similar it is to that text, from 0.8 to 1"),
    ),
)
REPOSITORIES = Table(
    "repositories",
    "an origin as it stood when it last moved: the catalogue to look at first",
    (
        *_PLACE,
        Column("origin", pa.string(), "the origin's URL"),
        Column("fork_of", pa.string(), "URL of the fork root, null for a root"),
        Column("night", pa.date32(), "night on which it last moved"),
        Column("head_ref", pa.string(), "the ref that HEAD names, null if detached"),
        Column("head_commit", OID, "the commit at HEAD, null if there is none"),
        Column("head_time", TIME, "committer time of that commit"),
        Column("branches", pa.int64(), "refs under refs/heads"),
        Column("tags", pa.int64(), "refs under refs/tags"),
        Column("files", pa.int64(), "paths at HEAD"),
        Column("bytes", pa.int64(), "bytes of all files at HEAD"),
        Column("language", pa.string(), "the programming language with most bytes at HEAD, null if there is none"),
        Column("tree", OID, "the root tree at HEAD; null if there is none, or if an earlier version wrote the row"),
    ),
)

ALL = (CONTENTS, BLOBS, TREES, TAGS, COMMITS, REFS, FILES, HEAD_BLOBS, REPOSITORIES, VISITS, ORIGINS)
"""In publishing order: referenced rows come before rows that refer to them, and those that announce a night last."""

BY_NAME = MappingProxyType({t.name: t for t in ALL})
LANDED = tuple(t for t in ALL if t.landed)
OBJECT_TABLES = (CONTENTS, BLOBS, TREES, TAGS, COMMITS)
DERIVED_NAMES = tuple(t.name for t in ALL if not t.landed and t is not ORIGINS)
"""Tables that are computed from the landed ones, and can be again."""

BY_ORIGIN = tuple(t.name for t in ALL if {"origin", "url"} & set(t.column_names))
BY_OBJECT = tuple(t.name for t in ALL if t.name not in BY_ORIGIN)
"""Tables with rows that belong to an origin, and with rows that belong to an object; a takedown hides both."""


def shown_columns(table: Table) -> tuple[str, ...]:
    """The columns of a table as readers see it."""
    return FILE_COLUMNS if table is FILES else table.column_names


def spark_type(type_: pa.DataType) -> str:
    """The Spark SQL name of an Arrow type used above."""
    if pa.types.is_list(type_):
        return f"array<{spark_type(type_.value_type)}>"
    if pa.types.is_struct(type_):
        return f"struct<{', '.join(f'{f.name}: {spark_type(f.type)}' for f in type_)}>"
    return _SPARK_NAMES[type_]


_SPARK_NAMES = {
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.string(): "string",
    pa.binary(): "binary",
    pa.date32(): "date",
    TIME: "timestamp",
}


def extension(name: str) -> str:
    """``ext`` of a file name: the part after the last dot, in lower case; empty for dot files, long or odd endings."""
    stem, dot, ext = name.rpartition(".")
    return ext.lower() if dot and stem and len(ext) <= 16 and ext.isalnum() else ""
