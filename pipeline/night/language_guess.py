"""Which of several languages a text is in, in bounded time: Pygments' own guesses, on text that cannot stall them.

Their regular expressions take quadratic or cubic time in the length of a line or a run of white space, and whoever
pushes a file chooses both. So the text is cut by rules that affect no ordinary file; a CPU time limit backs them up.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from types import FrameType
from typing import Final, NoReturn

from pygments import util
from pygments.lexers import find_lexer_class

LOOKED_AT_BYTES: Final = 8 << 10
LONGEST_LINE: Final = 256
"""Characters per line that are looked at."""

LONGEST_GAP: Final = 64
"""Characters per run of white space that are looked at."""

CPU_LIMIT_S: Final = 0.5
"""CPU time for all guesses about one text. The rules above keep to a tenth of it; at the limit the first rank wins."""

CACHED: Final = 1024

_GAP = re.compile(rf"\s{{{LONGEST_GAP + 1},}}")


def best_of(lexers: tuple[str, ...], preferred: str | None, content: bytes) -> str:
    """The lexer that is surest of the content; ties go to the preferred one, else to the highest Pygments priority."""
    return _best(lexers, preferred, _looked_at(content))


def _looked_at(content: bytes) -> str:
    text = content[:LOOKED_AT_BYTES].decode("utf-8", "replace")
    short = "\n".join(line[:LONGEST_LINE] for line in text.split("\n"))
    return _GAP.sub(lambda gap: gap[0][:LONGEST_GAP], short)


@lru_cache(maxsize=CACHED)
def _best(lexers: tuple[str, ...], preferred: str | None, text: str) -> str:
    ranked = sorted(lexers, key=lambda lexer: (lexer != preferred, -_priority(lexer), lexer))
    try:
        with _limited():
            return max(ranked, key=lambda lexer: _sureness(lexer, text))
    except _TookTooLong:
        return ranked[0]
    finally:
        _forget()


def _sureness(lexer: str, text: str) -> float:
    try:
        return float(find_lexer_class(lexer).analyse_text(text))
    except Exception:  # third-party heuristics over hostile text
        return 0.0


@cache
def _priority(lexer: str) -> float:
    return float(find_lexer_class(lexer).priority)


def _forget() -> None:
    """Bound Pygments' cache of which texts are XML, which otherwise grows as long as the process lives."""
    seen: dict[int, bool] = getattr(util, "_looks_like_xml_cache", {})
    if len(seen) > CACHED:
        seen.clear()


class _TookTooLong(BaseException):
    """Not an Exception: Pygments swallows those."""


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise _TookTooLong


@contextmanager
def _limited() -> Iterator[None]:
    """Raise ``_TookTooLong`` inside when the CPU time is up. Works only in the main thread, and only if nothing else
    uses the signal; elsewhere only the cuts apply.
    """
    mine = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGPROF) is signal.SIG_DFL
    if not mine:
        yield
        return
    signal.signal(signal.SIGPROF, _stop)
    try:
        signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    finally:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
