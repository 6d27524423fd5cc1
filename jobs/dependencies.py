"""Dependencies that the manifests at HEAD declare, in nine ecosystems.

Read are requirements files, pyproject.toml (PEP 621, groups, Poetry), setup.cfg; package.json; Cargo.toml; go.mod;
pom.xml; composer.json; project files of NuGet; Project.toml of Julia; vcpkg.json; each up to 1 MiB. No build tool runs,
so what a build script computes is not there. Result, one row per dependency and scope of a manifest:

===========  ======  ==============================================================================================
origin       string  the repository
path         string  the manifest
ecosystem    string  pypi, npm, cargo, golang, maven, composer, nuget, julia or vcpkg, as in package URLs
dependency   string  name as the ecosystem compares names; of Maven ``group:artifact``; null if there is a problem
requirement  string  versions as written, null if any will do or if it is an address
scope        string  runtime, dev, build or optional
problem      string  why a manifest could not be read, then its only row; else null
===========  ======  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Annotated

import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.manifests import MOST_BYTES, Ecosystem, Unreadable, dependencies_in, ecosystem_of, names_of
from pipeline.read.archive import Archive

READS = ["files", "contents"]

_OBJECT = ["bucket", "network", "oid"]
_KEY = [*_OBJECT, "name"]
_READ = pa.schema(
    [
        ("bucket", pa.int32()),
        ("network", pa.int64()),
        ("oid", pa.binary()),
        ("name", pa.string()),
        ("ecosystem", pa.string()),
        ("dependency", pa.string()),
        ("requirement", pa.string()),
        ("scope", pa.string()),
        ("problem", pa.string()),
    ]
)
_TYPES = (
    "bucket int, network bigint, oid binary, name string, ecosystem string, dependency string, requirement string, "
    "scope string, problem string"
)


def dependencies(files: DataFrame, contents: DataFrame, ecosystems: Collection[Ecosystem] = ()) -> DataFrame:
    """The dependencies of all manifests; a file that many repositories share is read once a network.

    Args:
        files: the table of this name; bucket, network, origin, path, name, kind and oid are read.
        contents: the table of this name; bucket, network, oid, size, at_head and content are read.
        ecosystems: only their manifests; none for all.
    """
    manifests = files.where((F.col("kind") == "file") & F.col("name").rlike(names_of(ecosystems)))
    wanted = manifests.select(*_KEY).distinct()
    small = contents.where(F.col("at_head") & (F.col("size") <= MOST_BYTES)).select(*_OBJECT, "content")
    read = small.join(wanted, _OBJECT).select(*_KEY, "content").mapInArrow(read_manifests, _TYPES).distinct()
    return (
        manifests.select(*_KEY, "origin", "path")
        .join(read, _KEY)
        .select("origin", "path", "ecosystem", "dependency", "requirement", "scope", "problem")
        .orderBy("origin", "path", "dependency", "scope")
    )


def read_manifests(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """A row per dependency of each row with its name and content."""
    for batch in batches:
        rows = [
            row for each in batch.to_pylist() for row in _rows(each["name"], each["content"], [each[k] for k in _KEY])
        ]
        if rows:
            columns = zip(*rows, strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(columns, _READ, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=_READ)


def _rows(name: str, content: bytes, key: Sequence[object]) -> Iterator[tuple[object, ...]]:
    ecosystem = ecosystem_of(name)
    try:
        found = dependencies_in(name, content)
    except Unreadable as error:
        yield (*key, ecosystem, None, None, None, str(error))
        return
    for dependency in found:
        yield (*key, ecosystem, *dependency, None)


def main(
    archive: Archive,
    ecosystem: Annotated[tuple[Ecosystem, ...], Field(description="only this one, or these; else all")] = (),
) -> DataFrame:
    """Read the manifests of the archive's night."""
    return dependencies(archive.table("files"), archive.table("contents"), ecosystem)
