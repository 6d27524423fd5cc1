"""A page over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was sent with the status 200. ``headers`` has names in lower case."""

    headers: Mapping[str, str]
    body: bytes
