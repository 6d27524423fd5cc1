"""Who wrote the commits of each origin, by its mailmap, computed whenever it is read (decision 45)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.model.tables import spark_type
from pipeline.read.origin_commits import commits_with_tips, reached
from pipeline.rules.bots import is_bot
from pipeline.rules.mailmap import MOST_BYTES, Mailmap

SCHEMA = pa.schema(
    [
        ("bucket", pa.int32()),
        ("network", pa.int64()),
        ("origin", pa.string()),
        ("author_name", pa.string()),
        ("author_email", pa.string()),
        ("name", pa.string()),
        ("email", pa.string()),
        ("is_bot", pa.bool_()),
        ("commits", pa.int64()),
    ]
)
_WRITTEN = pa.schema(SCHEMA.field(name) for name in (*SCHEMA.names[:5], "commits"))
_PERSON = ["author_name", "author_email"]
_PEOPLE = pa.schema(
    [
        *(SCHEMA.field(name) for name in ("bucket", "network")),
        ("mailmap", pa.binary()),
        *(SCHEMA.field(name) for name in (*_PERSON, "name", "email", "is_bot")),
    ]
)
_KEY = ["bucket", "network"]
_MAILMAP = [*_KEY, "mailmap"]
_Written = tuple[str | None, str | None]


def authors(refs: DataFrame, commits: DataFrame, files: DataFrame, contents: DataFrame) -> DataFrame:
    """The rows of ``SCHEMA``: each name and address of an author as commits have them, once per origin.

    ``name`` and ``email`` are those of the mailmap, ``.mailmap`` at HEAD of the origin, if it has one of up to
    ``MOST_BYTES``; ``commits`` counts those that a ref of the origin leads to. A Python worker holds the ids of the
    commits of one network at a time, another one a mailmap with the authors of its network, each once.

    Args:
        refs, commits, files, contents: the tables of these names, or the same networks of all.
    """
    rows = commits_with_tips(refs, commits, *_PERSON)
    written = rows.groupBy(*_KEY).applyInArrow(_count_network, _types(_WRITTEN))
    named = files.where((F.col("path") == ".mailmap") & (F.col("kind") == "file"))
    named = named.groupBy(*_KEY, "origin").agg(F.min("oid").alias("mailmap"))  # a tree may name an entry twice
    mailmaps = named.select(*_MAILMAP).distinct()
    small = contents.where(F.col("at_head") & (F.col("size") <= MOST_BYTES))
    bodies = small.select(*_KEY, F.col("oid").alias("mailmap"), "content")
    bodies = bodies.join(F.broadcast(mailmaps), _MAILMAP).dropDuplicates(_MAILMAP)
    people = commits.select(*_KEY, *_PERSON).distinct()
    people = people.join(mailmaps, _KEY).unionByName(people.withColumn("mailmap", F.lit(None).cast("binary")))
    shown = (
        people.select(*_MAILMAP, *_PERSON)
        .groupBy(*_MAILMAP)
        .cogroup(bodies.groupBy(*_MAILMAP))
        .applyInArrow(_named, _types(_PEOPLE))
    )
    mapped = written.join(named, [*_KEY, "origin"], "left").alias("written")
    same = [F.col(f"written.{name}").eqNullSafe(F.col(f"shown.{name}")) for name in ("mailmap", *_PERSON)]
    same += [F.col(f"written.{name}") == F.col(f"shown.{name}") for name in _KEY]
    columns = (f"{'shown' if name in ('name', 'email', 'is_bot') else 'written'}.{name}" for name in SCHEMA.names)
    return mapped.join(shown.alias("shown"), same).select(*columns)


def _types(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {spark_type(field.type)}" for field in schema)


def _count_network(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    parents: dict[bytes, Sequence[bytes]] = {}
    people: dict[bytes, _Written] = {}
    known: dict[_Written, _Written] = {}
    tips: dict[str, set[bytes]] = defaultdict(set)
    for batch in batches:
        if batch.num_rows:
            bucket, network = batch["bucket"][0].as_py(), batch["network"][0].as_py()
        columns = (batch[name].to_pylist() for name in ("oid", "parents", "author_name", "author_email", "origins"))
        for oid, before, name, email, origins in zip(*columns, strict=True):
            parents[oid] = before or ()
            people[oid] = known.setdefault((name, email), (name, email))
            for origin in origins or ():
                tips[origin].add(oid)
    alike: dict[frozenset[bytes], list[str]] = defaultdict(list)
    for origin, own in tips.items():
        alike[frozenset(own)].append(origin)
    for own_tips, origins in alike.items():
        counts = Counter(people[oid] for oid in reached(own_tips, parents))
        for origin in origins:
            rows = ((bucket, network, origin, *person, commits) for person, commits in counts.items())
            yield pa.RecordBatch.from_pylist([dict(zip(_WRITTEN.names, row, strict=True)) for row in rows], _WRITTEN)


def _named(people: pa.Table, mailmaps: pa.Table) -> pa.Table:
    """The rows with the names of their mailmap, if there is one."""
    mailmap = Mailmap(mailmaps["content"][0].as_py() if mailmaps.num_rows else b"")
    shown = [
        (name, email, False) if name is None or email is None else _person(mailmap, name, email)
        for name, email in zip(*(people[part].to_pylist() for part in _PERSON), strict=True)
    ]
    columns = ([person[at] for person in shown] for at in range(3))
    return pa.table([*people.select(_PEOPLE.names[:5]).columns, *columns], schema=_PEOPLE)


def _person(mailmap: Mailmap, name: str, email: str) -> tuple[str, str, bool]:
    shown = mailmap.person(name, email)
    return (*shown, is_bot(*shown) or is_bot(name, email))
