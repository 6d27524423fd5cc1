"""The files in ``conf/`` show the existing keys and their defaults."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from pipeline.context.config import BadConfiguration, Config, load_config
from pipeline.model.origin_list import parse_origin_list

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"

FREE = ("spark.conf",)
"""Its keys are Spark's."""

HDFS = "hdfs"
"""A section documented in its own file."""


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names of all keys of a configuration, and their defaults."""
    for name, field in model.model_fields.items():
        dotted = f"{prefix}{name}"
        kind = section(field.annotation)
        if kind is not None:
            yield from keys(kind, f"{dotted}.")
        elif dotted not in FREE:
            yield dotted, None if field.is_required() else field.get_default(call_default_factory=True)


def section(annotation: Any) -> type[BaseModel] | None:
    """The model behind ``Model`` and ``Model | None``."""
    options = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return next((kind for kind in options if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


ALL_KEYS = MappingProxyType(dict(keys(Config)))


def written(path: Path) -> dict[str, tuple[Any, bool]]:
    """Dotted names in a file with their values, and whether they are commented out."""
    found: dict[str, tuple[Any, bool]] = {}
    at = ""
    for line in path.read_text().splitlines():
        if heading := re.match(r"\[([\w.]+)\]", line):
            at = heading[1]
        elif entry := re.match(r'(# )?([a-z_]+|"[\w.]+") = ', line):
            text = line.removeprefix("# ")
            (value,) = tomllib.loads(text).values()
            found[f"{at}.{entry[2]}"] = value, entry[1] is not None
    return found


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def test_local_is_the_defaults() -> None:
    assert load_config(CONF / "local.toml") == Config()


def test_local_names_every_key_with_its_default() -> None:
    shown = {name: entry for name, entry in written(CONF / "local.toml").items() if not name.startswith(FREE)}
    expected = {name for name in ALL_KEYS if not name.startswith(f"{HDFS}.")}
    assert set(shown) == expected
    for name, (value, commented) in shown.items():
        assert commented == (ALL_KEYS[name] in (None, "")), name
        assert commented or value == plain(ALL_KEYS[name]), name


def test_hdfs_names_every_key_of_its_section() -> None:
    shown = {name: entry for name, entry in written(CONF / "hdfs.toml").items() if name.startswith(f"{HDFS}.")}
    assert set(shown) == {name for name in ALL_KEYS if name.startswith(f"{HDFS}.")}
    for name, (value, commented) in shown.items():
        if name != "hdfs.webhdfs_urls":
            assert commented == (ALL_KEYS[name] is None), name
            assert commented or value == plain(ALL_KEYS[name]), name


@pytest.mark.parametrize("path", sorted(CONF.glob("*.toml")), ids=lambda path: path.name)
def test_every_file_loads(path: Path) -> None:
    loaded = load_config(path)
    assert (loaded.hdfs is not None) == loaded.archive.location.startswith("hdfs://")


@pytest.mark.parametrize("path", sorted(CONF.glob("*.toml")), ids=lambda path: path.name)
def test_commented_keys_may_be_used(path: Path, tmp_path: Path) -> None:
    """Uncommented, they are existing keys with values of the right type."""
    text = re.sub(r'^# ((?:[a-z_]+|"[\w.]+") = )', r"\1", path.read_text(), flags=re.MULTILINE)
    text = text.replace('auth = "none"', 'auth = "token"')
    (tmp_path / "all.toml").write_text(text)
    used = load_config(tmp_path / "all.toml")
    assert (used != load_config(path)) == (text != path.read_text())


def test_every_option_is_read_by_some_line() -> None:
    read = set()
    for path in (ROOT / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                read.add(node.attr)
    assert {name for name in ALL_KEYS if name.rpartition(".")[2] not in read} == set()


def test_every_option_says_what_it_is() -> None:
    def described(model: type[BaseModel]) -> Iterator[str]:
        for name, field in model.model_fields.items():
            kind = section(field.annotation)
            if kind is not None:
                yield from described(kind)
            elif not field.description:
                yield f"{model.__name__}.{name}"

    assert list(described(Config)) == []


def test_the_listed_origins_can_be_added() -> None:
    with (CONF / "origins.txt").open() as lines:
        origins = parse_origin_list("origins.txt", lines)
    assert len(origins) == 3
    assert {origin.fork_of for origin in origins} <= {None, *(origin.url for origin in origins)}


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(None) == Config()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "local.toml").write_text("[fetch]\nworkers = 7\n")
    assert load_config(None).fetch.workers == 7


def test_zero_and_false_count_as_set(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[luigi]\nfirst_pause_s = 0\n[nightly]\njobs = []\n[maintain]\nmonthlies = 0\n")
    loaded = load_config(tmp_path / "c.toml")
    assert (loaded.luigi.first_pause_s, loaded.nightly.jobs, loaded.maintain.monthlies) == (0, (), 0)


@pytest.mark.parametrize("network", ["10.0.0.0/33", "10.0.0.1/8", "example.org", "2001:db8::/129"])
def test_what_is_no_network_is_told_in_words(network: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f'[fetch]\nallowed_networks = ["10.0.0.0/8", "{network}"]\n')
    with pytest.raises(BadConfiguration) as caught:
        load_config(tmp_path / "c.toml")
    said = f"fetch.allowed_networks.1: {network} is not a network, such as 10.0.0.0/8"
    assert list(caught.value.problems) == [said]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[fetch]\nworkers = 0\nworker = 1\n[nights]\n")
    with pytest.raises(BadConfiguration) as caught:
        load_config(tmp_path / "c.toml")
    assert len(caught.value.problems) == 3
    assert str(tmp_path / "c.toml") in str(caught.value)
