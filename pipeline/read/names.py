"""What can be read by a bare name, and the stored tables behind it."""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType
from typing import Final

from pipeline.model.tables import BY_NAME, COMMITS, FILES, REFS, REPOSITORIES, TREES

COMMIT_FILES, ORIGIN_COMMITS = "commit_files", "origin_commits"
"""What each commit changed, and which origin reaches which commit."""

COMPUTED: Final = MappingProxyType(
    {COMMIT_FILES: (COMMITS.name, TREES.name), ORIGIN_COMMITS: (REFS.name, COMMITS.name)}
)
"""What has a name like a table, but is computed whenever it is read; and from which tables."""

NAMES: Final = frozenset({*BY_NAME, *COMPUTED})
_PARTS: Final = {FILES.name: (FILES.name, REPOSITORIES.name), **COMPUTED}


def with_parts(names: Collection[str]) -> frozenset[str]:
    """The stored tables that are read for some names: for ``files``, ``repositories`` as well."""
    return frozenset(part for name in names for part in _PARTS.get(name, (name,)))
