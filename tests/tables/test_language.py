"""Languages by name, shebang and content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tables.language import count_lines, language_of


@pytest.mark.parametrize(
    ("name", "content", "language"),
    [
        ("a.py", b"", "Python"),
        ("A.PY", b"", "Python"),
        ("x.h", b"int main(void);", "C"),
        ("x.h", b"#import <x.h>\n@interface Foo : NSObject\n@end\n", "Objective-C"),
        ("x.ts", b"const a: number = 1;", "TypeScript"),
        ("x.pl", b"use strict;\n", "Perl"),
        ("x.m", b"", "Objective-C"),
        ("x.v", b"module x; endmodule", "Verilog"),
        ("analysis.R", b"x <- 1", "R"),
        ("Makefile", b"", "Makefile"),
        ("Dockerfile", b"", "Docker"),
        ("CMakeLists.txt", b"", "CMake"),
        ("notes.txt", b"hello", None),
        ("README", b"hello", None),
        ("run", b"#!/usr/bin/env python3.11\n", "Python"),
        ("run", b"#!/bin/sh -e\n", "Bash"),
        ("run", b"#!/opt/unknown/thing\n", None),
        ("run", b"#! \n", None),
        ("", b"", None),
        ("...", b"", None),
    ],
)
def test_language(name: str, content: bytes, language: str | None) -> None:
    assert language_of(name, content) == language


@pytest.mark.parametrize(("content", "lines"), [(b"", 0), (b"a", 1), (b"a\n", 1), (b"a\nb", 2), (b"\n\n", 2)])
def test_lines(content: bytes, lines: int) -> None:
    assert count_lines(content) == lines


@given(st.sampled_from(["x.h", "x.m", "x.pl", "x.sql", "x.v", "run", "x.inc", "x.g", "x.rl"]), st.binary(max_size=400))
def test_hostile_content_never_raises(name: str, content: bytes) -> None:
    language_of(name, content)
    language_of(name, b"#!" + content)


@given(st.text(max_size=40))
def test_odd_names_never_raise(name: str) -> None:
    language_of(name, b"")
