"""The job over small frames."""

from __future__ import annotations

from pyspark.sql import SparkSession

from jobs.dependencies import dependencies


def test_each_repository_has_the_dependencies_of_its_manifests(session: SparkSession) -> None:
    files = session.createDataFrame(
        [
            (1, 1, "o1", "a/package.json", "package.json", "file", b"npm"),
            (1, 1, "fork", "package.json", "package.json", "file", b"npm"),
            (1, 1, "o1", "go.mod", "go.mod", "file", b"bad"),
            (1, 1, "o1", "link/go.mod", "go.mod", "symlink", b"npm"),
            (1, 1, "o1", "other.json", "other.json", "file", b"npm"),
            (2, 2, "o2", "pom.xml", "pom.xml", "file", b"big"),
            (2, 2, "o2", "Cargo.toml", "Cargo.toml", "file", b"bad"),
        ],
        "bucket int, network bigint, origin string, path string, name string, kind string, oid binary",
    )
    contents = session.createDataFrame(
        [
            (1, 1, b"npm", 40, True, b'{"dependencies": {"a": "1", "b": "2"}}'),
            (1, 1, b"bad", 40, True, b"require x v1\n"),
            (2, 2, b"bad", 40, True, b"= 1\n"),
            (2, 2, b"big", 2 << 20, True, b"<project/>"),
        ],
        "bucket int, network bigint, oid binary, size bigint, at_head boolean, content binary",
    )
    result = dependencies(files, contents)
    assert [tuple(row) for row in result.collect()] == [
        ("fork", "package.json", "npm", "a", "1", "runtime", None),
        ("fork", "package.json", "npm", "b", "2", "runtime", None),
        ("o1", "a/package.json", "npm", "a", "1", "runtime", None),
        ("o1", "a/package.json", "npm", "b", "2", "runtime", None),
        ("o1", "go.mod", "golang", "x", "v1", "runtime", None),
        ("o2", "Cargo.toml", "cargo", None, None, None, "not readable: TOMLDecodeError"),
    ]
    assert {row.ecosystem for row in dependencies(files, contents, ["npm"]).collect()} == {"npm"}
    assert {field.dataType.simpleString() for field in result.schema} == {"string"}
