"""Small JSON files of the archive: one that cannot be parsed is damage, reported with its path."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage

logger = logging.getLogger(__name__)

T = TypeVar("T")
RecordT = TypeVar("RecordT", bound=BaseModel)


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


def read_if_whole(storage: Storage, path: str, kind: type[RecordT]) -> RecordT | None:
    """A record that is made again if need be: None if it is missing, or damaged, which is logged."""
    try:
        return read_document(storage, path, kind.model_validate_json)
    except FileMissing:
        return None
    except StoredFileDamaged as error:
        logger.error("%s; it is made again", error)
        return None
