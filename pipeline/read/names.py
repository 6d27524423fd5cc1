"""What can be read by a bare name, and the stored tables behind it."""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType
from typing import Final

from pipeline.model.tables import BY_NAME, COMMITS, FILES, REPOSITORIES, TREES

COMMIT_FILES: Final = "commit_files"
"""What each commit changed: it has a name like a table, but is computed whenever it is read."""

NAMES: Final = frozenset({*BY_NAME, COMMIT_FILES})

_PARTS: Final = MappingProxyType(
    {FILES.name: (FILES.name, REPOSITORIES.name), COMMIT_FILES: (COMMITS.name, TREES.name)}
)


def with_parts(names: Collection[str]) -> frozenset[str]:
    """The stored tables that are read for some names: for ``files``, ``repositories`` as well."""
    return frozenset(part for name in names for part in _PARTS.get(name, (name,)))
