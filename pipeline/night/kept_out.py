"""What no visit of a load may be led to: a file beside its plan, which is searched as it is, without being parsed."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from pipeline.model.layout import Load
from pipeline.model.pattern import OptOuts, Pattern
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage


class SearchedOptOuts(OptOuts):
    """Opt-outs in the form in which they are stored: sorted lines, each with a place and its pattern."""

    def __init__(self, data: bytes) -> None:
        self._lines = data.splitlines()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[Pattern]:
        return map(_pattern, self._lines)

    def _named(self, place: str) -> Pattern | None:
        begin = _line(place)[:-1]
        at = bisect_left(self._lines, begin)
        return _pattern(self._lines[at]) if at < len(self._lines) and self._lines[at].startswith(begin) else None


def write_kept_out(storage: Storage, load: Load, rules: Iterable[Pattern]) -> str:
    """Write the file, or none without rules.

    Returns:
        What ``read_kept_out`` wants to know; empty without rules.
    """
    lines = {_line(rule.place, str(rule)) for rule in rules}
    if not lines:
        return ""
    data = b"\n".join(sorted(lines))
    storage.replace(load.plan_kept_out, data)
    return hashlib.sha256(data).hexdigest()


def read_kept_out(storage: Storage, load: Load, written: str) -> OptOuts:
    """The rules that were written.

    Args:
        written: as ``write_kept_out`` returned it.

    Raises:
        FileMissing, StoredFileDamaged: they cannot be read.
    """
    if not written:
        return OptOuts(())
    data = storage.read(load.plan_kept_out)
    if hashlib.sha256(data).hexdigest() != written:
        raise StoredFileDamaged(load.plan_kept_out, "its checksum is not the one in the plan")
    return SearchedOptOuts(data)


def _line(*words: str) -> bytes:
    return json.dumps(words).encode()


def _pattern(line: bytes) -> Pattern:
    return Pattern.of(json.loads(line)[1])
