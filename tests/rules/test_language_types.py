"""Types of languages."""

from __future__ import annotations

from pipeline.night.language import known_languages, language_of
from pipeline.rules.language_types import language_type, other_types


def test_types() -> None:
    assert {name: language_type(name) for name in ("C", "Svelte", "CSS", "YAML", "reStructuredText")} == {
        "C": "programming",
        "Svelte": "programming",
        "CSS": "markup",
        "YAML": "data",
        "reStructuredText": "prose",
    }


def test_each_language_that_has_a_type_is_one_that_files_can_have() -> None:
    assert set(other_types().values()) == {"markup", "data", "prose"}
    assert {*other_types()} <= known_languages()
    for name, content in (("a.md", b""), ("a.json", b"{}"), ("a.html", b"<p>"), ("a.toml", b""), ("go.mod", b"")):
        assert language_type(language_of(name, content) or "") != "programming"
