"""A limit for long work."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_BYTES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent; None means no limit. Unless it is zero, at least one bucket is processed."""

    size_bytes: int | None = None
    duration_s: float | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Parse ``10GB``, stored bytes to rewrite, or a time such as ``30m``.

        Raises:
            ValueError: it is neither.
        """
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(kB|KB|MB|GB|TB|s|m|h)", text)
        if match is None:
            raise ValueError(f"{text!r} is neither a size like 10GB nor a time like 30m")
        number, unit = float(match[1]), match[2]
        if unit in _SECONDS:
            return cls(duration_s=number * _SECONDS[unit])
        return cls(size_bytes=int(number * _BYTES[unit.upper()]))

    def spent(self, rewritten_bytes: int, elapsed_s: float) -> bool:
        """Whether no further bucket may be started."""
        return (self.size_bytes is not None and rewritten_bytes >= self.size_bytes) or (
            self.duration_s is not None and elapsed_s >= self.duration_s
        )
