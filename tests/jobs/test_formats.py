"""Formats of manifests, compared with Python's own parsers, and what makes those take hours or fill the memory."""

from __future__ import annotations

import tomllib
import tracemalloc
from configparser import ConfigParser
from configparser import Error as ConfigError
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.formats import (
    MOST_PARTS,
    Doctype,
    NoOption,
    OpenString,
    TooManyParts,
    ini,
    toml,
    xml,
)
from jobs.manifests import MOST_BYTES, Unreadable, dependencies_in

HALF = MOST_BYTES // 2
OPTIONS = "".join(f"k{n}=1\n" for n in range(4000))
NAMES = "".join(f"<a{n}/>" for n in range(9999))
HOSTILE = {
    "blanks": ("setup.cfg", "[options]\nx" + " " * (MOST_BYTES - 20) + "y\n", NoOption),
    "no_options": ("setup.cfg", "[o]\n" + "x\n" * (HALF - 9), NoOption),
    "a_long_key": ("pyproject.toml", "a." * (HALF - 9) + "a = 1\n", TooManyParts),
    "a_long_key_in_a_table": ("Cargo.toml", "x = {a = '.', " + "'a' . " * 9999 + "a = 1}\n", TooManyParts),
    "keys_below_a_long_header": ("Project.toml", f"[{'a.' * 4000}a]\n{OPTIONS}", TooManyParts),
    "open_strings": ("pyproject.toml", 'x = """' + '\\"""' * (HALF // 4), OpenString),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_what_would_take_hours_is_refused(name: str) -> None:
    manifest, text, error = HOSTILE[name]
    assert len(text) <= MOST_BYTES
    with pytest.raises(Unreadable, match=f"^not readable: {error.__name__}$"):
        dependencies_in(manifest, text.encode())


LINES = [
    "[a]", " [b]", "[options] ; x", "[a", "[]", "[DEFAULT]", "X = 1", "x: 2=3", "=1", " \ty", "  z", "", " ", "# c",
    "  ; c", "k =", "word", "\ufeffk=1", "a\rb = c\x0bd", "x\u2028=\u00a0y", "\u3000y=1"
]  # fmt: skip


@given(st.lists(st.sampled_from(LINES)).map("\n".join))
@example("[a]\nx =\n\n  1\n# c\n  2\n\n\ny=1\n y=2\n[a]\n x = 3\nX=4")
def test_sections_are_those_of_pythons_parser(text: str) -> None:
    config = ConfigParser(interpolation=None, strict=False, default_section="\0")
    try:
        config.read_string(text)
        expected = {name: dict(config.items(name)) for name in config.sections()}
    except ConfigError:
        with pytest.raises(NoOption):
            ini(text)
        return
    assert ini(text) == expected


DOTS = ". " * 99
LONG = f"""\
[tool.a . "b{DOTS}".'c{DOTS}'] # {DOTS}
url = "https://example.org/{"x." * 999}"
one = '{DOTS}"'
"two\\"{DOTS}" = 1
quoted = \"\"\"{DOTS}
{DOTS}"" \\\"\"\" {DOTS}\"\"\"\"\"
literal = '''{DOTS}
''{DOTS}'''''
empty = ["", '', \"\"\"\"\"\", '''''']
floats = [{"1.5, " * 999}]
tables = [{"{a.b.c = 1.5, d.e = '.'}, " * 99}]
{".".join(["k"] * MOST_PARTS)} = 1979-05-27T00:32:00.999999-07:00
"""


def test_long_lines_and_strings_of_toml_are_read() -> None:
    assert toml(LONG) == tomllib.loads(LONG)
    with pytest.raises(TooManyParts):
        toml(f"{'.'.join(['k'] * (MOST_PARTS + 1))} = 1")


TOML = ['"', '"""', "'", "'''", "\\", "a", ".", " = ", "\n", "#", "[", "]", "{", "}", ",", "1"]


@given(st.lists(st.sampled_from(TOML)).map("".join))
@example(f"""x = ["'", '"', "'"]\n{".".join(["k"] * MOST_PARTS)} = "'"\n""")
def test_whatever_toml_is_readable_is_read(text: str) -> None:
    try:
        expected = tomllib.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match=r".*"):
            toml(text)
        return
    assert toml(text) == expected


def test_names_of_xml_do_not_carry_their_namespace() -> None:
    text = f"<p xmlns='{'u' * HALF}'>{NAMES}</p>"
    tracemalloc.start()
    try:
        assert len(list(xml(text))) == 9999
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 16 << 20


def test_names_of_xml_lose_their_namespaces() -> None:
    root = xml('<p xmlns="u" xmlns:q="v"><q:a q:b="1"> c </q:a></p>')
    assert [(element.tag, element.text) for element in root.iter()] == [("p", None), ("a", " c ")]
    with pytest.raises(Doctype):
        xml("<!DOCTYPE p><p/>")
    with pytest.raises(ET.ParseError):
        xml("<p>")
