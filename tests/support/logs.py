"""What the pipeline logs in this process, as an event."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Listener(logging.Handler):
    def __init__(self, words: str, act: Callable[[], object]) -> None:
        super().__init__()
        self._words, self._act = words, act
        self.heard = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self.heard and self._words in record.getMessage():
            self.heard = True
            self._act()


@contextmanager
def when_said(words: str, act: Callable[[], object]) -> Iterator[None]:
    """Act once, when the pipeline first logs these words, before it goes on. It must log them during the block."""
    listener = _Listener(words, act)
    logger = logging.getLogger("pipeline")
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
    assert listener.heard, f"never said {words}"
