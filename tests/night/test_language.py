"""Languages by name, shebang and content."""

import signal
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygments import util

from pipeline.night import language_guess
from pipeline.night.language import count_lines, language_of
from pipeline.night.language_guess import CACHED, LONGEST_GAP, LONGEST_LINE, LOOKED_AT_BYTES, best_of


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
        ("go.mod", b"module go.etcd.io/bbolt\n\ngo 1.24\n", "Go Module"),
        ("go.sum", b"", "Go Checksums"),
        ("go.work", b"", "Go Workspace"),
        ("go.work.sum", b"", "Go Checksums"),
        ("SYSTEM.mod", b"IMPLEMENTATION MODULE SYSTEM;\n", "Modula-2"),
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


HOSTILE = [
    b"\n" * 8192,
    b" \n" * 4096,
    b"\n" * 63 + b"x",
    (b"{{ref(" * 600 + b") " * 2000) * 2,
    b"<script" * 1200,
    b"<&" * 4096,
    b"my " * 3000,
    b"[" + b"a" * 8192,
    b"##" + b" " * 8192,
    "\u2028 \x85".encode() * 2000,
    b"\xff\n" * 4096,
]
"""Each takes some lexer quadratic or cubic time: .g with line ends took 0.7 s for 8 kB."""


@pytest.mark.parametrize("start", range(len(HOSTILE)))
def test_what_is_guessed_about_has_short_lines_and_short_gaps(start: int) -> None:
    content = HOSTILE[start] * 100
    text = language_guess._looked_at(content)
    assert len(text) <= LOOKED_AT_BYTES
    assert max(map(len, text.split("\n"))) <= LONGEST_LINE
    gap = longest = 0
    for ch in text:
        gap = gap + 1 if ch.isspace() else 0
        longest = max(gap, longest)
    assert longest <= LONGEST_GAP
    for name in ("x.g", "x.sql", "x.i", "x.h", "x.pm", "x.toc", "x.aspx", "x.j"):
        language_of(name, content)


@given(st.text(alphabet="ab \n\t{", max_size=300).filter(lambda text: len(text) < LONGEST_GAP))
def test_an_ordinary_text_is_looked_at_as_it_is(text: str) -> None:
    assert language_guess._looked_at(text.encode()) == text


def spins(_: str) -> float:
    while True:
        time.process_time()


def test_a_guess_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = SimpleNamespace(analyse_text=spins, priority=1.0)
    monkeypatch.setattr(language_guess, "find_lexer_class", lambda name: endless)
    monkeypatch.setattr(language_guess, "CPU_LIMIT_S", 0.05)
    language_guess._priority.cache_clear()
    language_guess._best.cache_clear()
    assert best_of(("One", "Two"), "Two", b"text") == "Two"
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)
    assert signal.getsignal(signal.SIGPROF) is signal.SIG_DFL
    language_guess._priority.cache_clear()
    language_guess._best.cache_clear()


def test_equal_contents_are_looked_at_once() -> None:
    language_guess._best.cache_clear()
    for name in ("a.h", "b.h", "c.h"):
        assert language_of(name, b"#import <x.h>\n@interface Foo : NSObject\n@end\n") == "Objective-C"
    assert language_guess._best.cache_info().misses == 1


def test_pygments_does_not_remember_every_text() -> None:
    for number in range(2 * CACHED):
        language_of("x.xsl", b"<a%d>" % number)
    assert len(util._looks_like_xml_cache) <= CACHED + 1


@pytest.mark.parametrize(
    "name", ["." * 1_000_000, "a." * 500_000 + "py", "\udcff" * 1_000_000 + ".py", "x" * 1_000_000]
)
def test_names_without_end_take_no_time(name: str) -> None:
    assert language_of(name, b"") in (None, "Python")
