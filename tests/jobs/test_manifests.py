"""Dependencies of small manifests, each with what people really write."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.manifests import Dependency, Unreadable, dependencies_in, ecosystem_of

REQUIREMENTS = b"""\
# tools
-r base.txt
Requests[socks] >=2.8.1, ==2.8.* ; python_version < "3.12"  # why
numpy==1.26 \\
    --hash=sha256:abc
git+https://user:secret@example.org/x.git#egg=x
./local
own @ https://example.org/own.whl
"""
PYPROJECT = b"""\
[project]
dependencies = ["click>=8", "Zope.Interface"]
optional-dependencies = {test = ["pytest"]}
[build-system]
requires = ["setuptools>=77"]
[dependency-groups]
lint = ["ruff", {include-group = "test"}]
[tool.poetry.dependencies]
python = "^3.11"
rich = "^13"
local = {path = "../x"}
[tool.poetry.group.docs.dependencies]
sphinx = {version = ">7", extras = ["a"]}
"""
SETUP_CFG = b"""\
[metadata]
description = 100%
[options]
install_requires =
    six>=1; python_version < "4"
    attrs
[options.extras_require]
all = a; b>1
"""
PACKAGE_JSON = b"""\xef\xbb\xbf{"name": "x", "dependencies": {"left-pad": "^1.0", "@a/b": "*", "g": "git+https://t:x@h/g"},
"devDependencies": {"jest": "29"}, "optionalDependencies": {"fsevents": "~2"}, "peerDependencies": [1]}"""
CARGO = b"""\
[package]
name = "x"
[dependencies]
serde = { version = "1", features = ["derive"] }
log = "0.4"
old = { package = "new", path = "../new", optional = true }
shared.workspace = true
[dev-dependencies]
proptest = "1"
[build-dependencies]
cc = "1"
[target.'cfg(unix)'.dependencies]
libc = "0.2"
"""
GO_MOD = b"""\
module example.org/x // "here"
go 1.22
require example.org/one v1.0.0
require (
\t"example.org/two" v2.0.0+incompatible // indirect
\t// example.org/none v1.0.0
)
replace example.org/one => ../one
"""
POM = b"""<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0"><dependencyManagement/>
<dependencies><dependency><groupId> org.a </groupId><artifactId>b</artifactId><version>${v}</version></dependency>
<dependency><groupId>junit</groupId><artifactId>junit</artifactId><scope>test</scope></dependency>
<dependency><groupId>o</groupId><artifactId>p</artifactId><optional>true</optional></dependency>
<dependency><groupId>no.artifact</groupId></dependency></dependencies></project>"""
COMPOSER = (
    b'{"require": {"php": ">=8", "ext-json": "*", "Monolog/monolog": "^3"}, "require-dev": {"phpunit/phpunit": "*"}}'
)
CSPROJ = b"""<Project><ItemGroup><PackageReference Include="Newtonsoft.Json" Version="13.0.1" />
<PackageReference Include="Serilog"><Version>3.0</Version></PackageReference></ItemGroup></Project>"""
JULIA = b'[deps]\nJSON = "682c06a0"\n[extras]\nTest = "8dfed614"\n[compat]\nJSON = "0.21"\n'
VCPKG = b'{"dependencies": ["zlib", {"name": "boost", "version>=": "1.80"}, {"name": "cmake", "host": true}, 7]}'

CASES = {
    "requirements-dev.txt": (
        "pypi",
        REQUIREMENTS,
        [("numpy", "==1.26", "runtime"), ("own", None, "runtime"), ("requests", "==2.8.*,>=2.8.1", "runtime")],
    ),
    "pyproject.toml": (
        "pypi",
        PYPROJECT,
        [
            ("click", ">=8", "runtime"),
            ("local", None, "runtime"),
            ("pytest", None, "optional"),
            ("rich", "^13", "runtime"),
            ("ruff", None, "dev"),
            ("setuptools", ">=77", "build"),
            ("sphinx", ">7", "dev"),
            ("zope-interface", None, "runtime"),
        ],
    ),
    "setup.cfg": (
        "pypi",
        SETUP_CFG,
        [("a", None, "optional"), ("attrs", None, "runtime"), ("b", ">1", "optional"), ("six", ">=1", "runtime")],
    ),
    "package.json": (
        "npm",
        PACKAGE_JSON,
        [
            ("@a/b", "*", "runtime"),
            ("fsevents", "~2", "optional"),
            ("g", None, "runtime"),
            ("jest", "29", "dev"),
            ("left-pad", "^1.0", "runtime"),
        ],
    ),
    "Cargo.toml": (
        "cargo",
        CARGO,
        [
            ("cc", "1", "build"),
            ("libc", "0.2", "runtime"),
            ("log", "0.4", "runtime"),
            ("new", None, "optional"),
            ("proptest", "1", "dev"),
            ("serde", "1", "runtime"),
            ("shared", None, "runtime"),
        ],
    ),
    "go.mod": (
        "golang",
        GO_MOD,
        [("example.org/one", "v1.0.0", "runtime"), ("example.org/two", "v2.0.0+incompatible", "runtime")],
    ),
    "pom.xml": (
        "maven",
        POM,
        [("junit:junit", None, "dev"), ("o:p", None, "optional"), ("org.a:b", "${v}", "runtime")],
    ),
    "composer.json": ("composer", COMPOSER, [("monolog/monolog", "^3", "runtime"), ("phpunit/phpunit", "*", "dev")]),
    "App.csproj": ("nuget", CSPROJ, [("newtonsoft.json", "13.0.1", "runtime"), ("serilog", "3.0", "runtime")]),
    "Directory.Packages.props": (
        "nuget",
        b'<Project><PackageVersion Include="X" Version="[1,2)"/></Project>',
        [("x", "[1,2)", "runtime")],
    ),
    "packages.config": ("nuget", b'<packages><package id="Y" version="1"/></packages>', [("y", "1", "runtime")]),
    "Project.toml": ("julia", JULIA, [("JSON", "0.21", "runtime"), ("Test", None, "dev")]),
    "vcpkg.json": (
        "vcpkg",
        VCPKG,
        [("boost", ">=1.80", "runtime"), ("cmake", None, "build"), ("zlib", None, "runtime")],
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_what_a_manifest_asks_for(name: str) -> None:
    ecosystem, content, expected = CASES[name]
    assert ecosystem_of(name) == ecosystem
    assert [tuple(dependency) for dependency in dependencies_in(name, content)] == expected


@pytest.mark.parametrize(
    "name", ["readme.md", "my-package.json", "requirements.md", "go.mod.bak", "package.json\n", ".csproj"]
)
def test_other_names(name: str) -> None:
    assert ecosystem_of(name) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("package.json", b"{"),
        ("package.json", b"\xff"),
        ("package.json", b"[" * 100_000),
        ("pyproject.toml", b"x = " + b"[" * 10_000),
        ("setup.cfg", b"no section"),
        ("pom.xml", b"<project>"),
        ("pom.xml", b'<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><p>&b;</p>'),
    ],
)
def test_what_is_no_manifest_says_so_and_shows_nothing(name: str, content: bytes) -> None:
    with pytest.raises(Unreadable, match=r"^not readable: \w+$"):
        dependencies_in(name, content)


def test_odd_shapes_and_characters() -> None:
    for content in (b"[]", b"1", b'{"dependencies": 1}', b'{"dependencies": {"a": {}}}'):
        assert len(dependencies_in("package.json", content)) <= 1
    found = dependencies_in("package.json", b'{"dependencies": {"a\\u0000\\ud800": "1\\ud800"}}')
    assert found == [Dependency("a\ufffd\ufffd", "1\ufffd", "runtime")]


@given(st.sampled_from([*CASES]), st.data())
def test_damaged_manifests_never_fail_otherwise(name: str, data: st.DataObject) -> None:
    content = bytearray(CASES[name][1])
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        if not content:
            return
    with suppress(Unreadable):
        dependencies_in(name, bytes(content))
