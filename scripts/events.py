"""Writes docs/logs.md: every event that the program logs, from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from generated import ROOT, Page

LEVELS = {name: name.upper() for name in ("info", "warning", "error")} | {
    "exception": "ERROR",
    "log": "by its status",
}
"""Methods of loggers whose events are listed; what DEBUG adds is for those who read the source."""


class Event(NamedTuple):
    """A call of a logger."""

    logger: str
    level: str
    event: str
    fields: tuple[str, ...]


def events() -> list[Event]:
    """All events, by logger and place in the source, each once."""
    found: dict[Event, None] = {}
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        found |= dict.fromkeys(_events_of(name, ast.parse(path.read_text())))
    return list(found)


def _events_of(name: str, tree: ast.Module) -> Iterator[Event]:
    given = {
        node.targets[0].id: _keys(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Dict)
    }
    for call in sorted((node for node in ast.walk(tree) if isinstance(node, ast.Call)), key=lambda call: call.lineno):
        match call.func:
            case ast.Attribute(ast.Name("log" | "logger"), method) if method in LEVELS:
                pass
            case _:
                continue
        extra = next((keyword.value for keyword in call.keywords if keyword.arg == "extra"), None)
        fields = given[extra.id] if isinstance(extra, ast.Name) else _keys(extra) if extra is not None else {}
        named = fields.pop("event", None)
        sentence = call.args[1 if method == "log" else 0]
        event = named or sentence
        if not isinstance(event, ast.Constant):
            raise ValueError(f"{name}:{call.lineno}: the event is no constant")
        yield Event(name, LEVELS[method], str(event.value), tuple(fields))


def _keys(extra: ast.expr) -> dict[str, ast.expr]:
    assert isinstance(extra, ast.Dict)
    pairs = zip(extra.keys, extra.values, strict=True)
    return {str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)}


def page_lines() -> Iterator[str]:
    """The generated part of the page."""
    yield from ("| logger | level | `event` | fields |", "| --- | --- | --- | --- |")
    for event in events():
        fields = ", ".join(f"`{name}`" for name in event.fields)
        yield f"| `{event.logger.removeprefix('pipeline.')}` | {event.level} | {event.event} | {fields} |"


PAGE = Page("docs/logs.md", "scripts/events.py", page_lines)

if __name__ == "__main__":
    PAGE.write()
