"""Small JSON files of the archive: one that cannot be parsed is damage, reported with its path."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage

T = TypeVar("T")


def read_document(storage: Storage, path: str, parse: Callable[[bytes], T]) -> T:
    """A file, parsed.

    Args:
        parse: parses its bytes; raises ValueError, KeyError, TypeError or AttributeError for invalid ones.

    Raises:
        FileMissing: there is no such file.
        StoredFileDamaged: it cannot be parsed.
    """
    data = storage.read(path)
    try:
        return parse(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoredFileDamaged(path, f"its content is invalid: {str(error)[:200]}") from error
