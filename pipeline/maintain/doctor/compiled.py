"""The compiled parts of dulwich: without them everything works, ten times slower."""

from __future__ import annotations

import importlib
from importlib.machinery import EXTENSION_SUFFIXES

PARTS = ("dulwich._pack", "dulwich._objects")


def lacking_parts() -> list[str]:
    """The parts that cannot be loaded here."""
    return [name for name in PARTS if not _is_compiled(name)]


def _is_compiled(name: str) -> bool:
    try:
        path = importlib.import_module(name).__file__
    except ImportError:
        return False
    return path is not None and path.endswith(tuple(EXTENSION_SUFFIXES))
