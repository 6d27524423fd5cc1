"""How long a host asks us to wait, from the headers of its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

TOO_MANY_REQUESTS, FORBIDDEN, UNAVAILABLE = 429, 403, 503

_FIRST_EPOCH = 500_000_000
"""A reset above this is a time, below it a number of seconds: forges send either."""

_NUMBER = re.compile(r"\s*([0-9]{1,15})(?:\.[0-9]*)?\s*")
_NONE_LEFT = re.compile(r"\b(?:r|remaining)\s*=\s*0+(?![0-9.])")
_RESET = re.compile(r"\b(?:t|reset)\s*=\s*([0-9]{1,15})")
_PAIRS = (("x-ratelimit-remaining", "x-ratelimit-reset"), ("ratelimit-remaining", "ratelimit-reset"))


def asked_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait before the next request, 0 or more; None if the host does not ask for any.

    Reads ``Retry-After`` in seconds or as a date, and both forms of ``RateLimit`` and ``X-RateLimit`` if no request is
    left. What cannot be read is as if it were absent.

    Args:
        headers: found by their names in lower case.
        now: seconds since 1970.
    """
    found = [_retry_after(headers.get("retry-after"), now), _structured(headers.get("ratelimit"))]
    found += [_reset(headers.get(left), headers.get(reset), now) for left, reset in _PAIRS]
    return max((max(wait, 0.0) for wait in found if wait is not None), default=None)


def closes(status: int, wait_s: float | None) -> bool:
    """Whether an answer with this status says that we ask too much, or that the host cannot answer anybody."""
    return is_limit(status, wait_s) or status == UNAVAILABLE


def is_limit(status: int, wait_s: float | None) -> bool:
    """Whether an answer with this status says that we ask too much; some forges say it as "forbidden"."""
    return status == TOO_MANY_REQUESTS or (status == FORBIDDEN and wait_s is not None)


def _retry_after(text: str | None, now: float) -> float | None:
    if text is None:
        return None
    if number := _NUMBER.fullmatch(text):
        return float(number[1])
    try:
        return parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _reset(left: str | None, reset: str | None, now: float) -> float | None:
    if left is None or reset is None or (number := _NUMBER.fullmatch(left)) is None or int(number[1]):
        return None
    number = _NUMBER.fullmatch(reset)
    if number is None:
        return None
    return float(number[1]) - (now if int(number[1]) > _FIRST_EPOCH else 0)


def _structured(text: str | None) -> float | None:
    if text is None or len(text) > 1000:
        return None
    policies = [text] if "remaining" in text else text.split(",")  # earlier drafts had commas inside a policy
    resets = (_RESET.search(policy) for policy in policies if _NONE_LEFT.search(policy))
    return max((float(reset[1]) for reset in resets if reset is not None), default=None)
