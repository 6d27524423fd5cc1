"""Small answers of the web pages of masters and workers."""

from __future__ import annotations

import json
import urllib.request
from http.client import HTTPException
from typing import Any

TIMEOUT_S = 10.0
MOST_BYTES = 64 << 20


def get(url: str) -> bytes | None:
    """The body of a page; None if there is no good answer."""
    if not url.startswith(("http://", "https://")):
        return None
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310  # http or https, see above
            return bytes(answer.read(MOST_BYTES))
    except (OSError, ValueError, HTTPException):  # the last is of an answer that is cut
        return None


def get_json(url: str) -> dict[str, Any]:
    """A JSON object; empty if there is no good answer."""
    try:
        found = json.loads(get(url) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
