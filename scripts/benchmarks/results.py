"""What a part of the comparison found, as objects and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number for a target; ``of`` names its subject, ``how`` the numbers behind it."""

    target: str
    of: str
    value: float
    how: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Details, with unformatted numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """All findings of one part."""

    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """The findings with their circumstances: date, machine, versions."""

    where: Mapping[str, str]
    found: Found


def read(path: Path) -> dict[str, Part]:
    """The parts of earlier runs, by name; empty without a file."""
    if not path.exists():
        return {}
    return {name: _part(found) for name, found in json.loads(path.read_text()).items()}


def write(path: Path, parts: Mapping[str, Part]) -> None:
    """Keep them for the next run and for programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: asdict(part) for name, part in parts.items()}, indent=1) + "\n")


def _part(found: Mapping[str, Any]) -> Part:
    figures = tuple(Figure(**figure) for figure in found["found"]["figures"])
    tables = tuple(
        Table(t["title"], tuple(t["columns"]), tuple(map(tuple, t["rows"]))) for t in found["found"]["tables"]
    )
    return Part(found["where"], Found(figures, tables))
