"""An object of JSON that notes which of its values are asked for."""

from __future__ import annotations

from typing import Any


class Noted(dict[str, Any]):
    """``asked``: names that somebody asked for, whether there is a value or not."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)
