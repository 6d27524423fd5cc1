"""Paths in an archive: relative, '/'-separated text below the root."""

from __future__ import annotations

import re
import uuid

from pipeline.model.errors import UsageError

TEMPORARY_SUFFIX = ".tmp"

_NO_NAME = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)")
_NOT_EVERYWHERE = re.compile(r"[\x00-\x1f:\\\x7f]")


def check_path(path: str, *, root_allowed: bool = False) -> str:
    """Return the path unchanged if it is one that every storage accepts.

    Args:
        path: the candidate.
        root_allowed: whether the empty path, which means the root, is allowed.

    Raises:
        UsageError: absolute, empty, with an empty, '.' or '..' segment, a colon, a backslash or a control character.
    """
    if path == "" and root_allowed:
        return path
    if _NO_NAME.search(path):
        raise UsageError(f"{path!r}: give a path below the archive's root, without empty, '.' or '..' segments")
    if _NOT_EVERYWHERE.search(path):
        raise UsageError(f"{path!r}: colons, backslashes and control characters cannot be stored everywhere")
    return path


def parent_of(path: str) -> str:
    """The folder that holds this path; empty for one directly below the root."""
    return path.rpartition("/")[0]


def join(folder: str, name: str) -> str:
    """The path of a name inside a folder; the folder may be the root, "" ."""
    return f"{folder}/{name}" if folder else name


def temporary_name(path: str) -> str:
    """A unique name in the same folder, hidden from Spark by its leading dot."""
    return join(parent_of(path), f".{path.rpartition('/')[2]}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")


def is_temporary(path: str) -> bool:
    """Whether ``temporary_name`` made a path: rubbish once its writer is gone."""
    name = path.rpartition("/")[2]
    return name.startswith(".") and name.endswith(TEMPORARY_SUFFIX)


def is_beside(path: str) -> bool:
    """Whether a file is none of the archive's own: a temporary one, or Hadoop's checksums of another."""
    name = path.rpartition("/")[2]
    return is_temporary(path) or (name.startswith(".") and name.endswith(".crc"))


def side_path(path: str) -> str:
    """The path of the checksums that Hadoop's local file system keeps for a file."""
    return join(parent_of(path), f".{path.rpartition('/')[2]}.crc")
