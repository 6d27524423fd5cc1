"""Small JSON files of the archive: what cannot be parsed is damage that names its file, whoever reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage

T = TypeVar("T")


def read_document(storage: Storage, path: str, parse: Callable[[bytes], T]) -> T:
    """What a file says.

    Args:
        parse: from its bytes; raises ValueError, KeyError, TypeError or AttributeError for what it cannot be.

    Raises:
        FileMissing: there is no such file.
        StoredFileDamaged: it says nothing that can be understood.
    """
    data = storage.read(path)
    try:
        return parse(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoredFileDamaged(path, f"it does not say what it must: {str(error)[:200]}") from error
