"""What can be read by a bare name, and the stored tables behind it."""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType
from typing import Final

from pipeline.model.tables import BY_NAME, COMMITS, CONTENTS, FILES, HEAD_BLOBS, REFS, REPOSITORIES, TREES

AUTHORS, COMMIT_FILES, LICENCES, ORIGIN_COMMITS = "authors", "commit_files", "licences", "origin_commits"
"""Who wrote commits, what each commit changed, licence files at HEAD, and which origin reaches which commit."""

COMPUTED: Final = MappingProxyType(
    {
        AUTHORS: (REFS.name, COMMITS.name, FILES.name, CONTENTS.name),
        COMMIT_FILES: (COMMITS.name, TREES.name),
        LICENCES: (FILES.name, HEAD_BLOBS.name),
        ORIGIN_COMMITS: (REFS.name, COMMITS.name),
    }
)
"""What has a name like a table, but is computed whenever it is read; and from which tables."""

NAMES: Final = frozenset({*BY_NAME, *COMPUTED})


def with_parts(names: Collection[str]) -> frozenset[str]:
    """The stored tables that are read for some names: for ``files``, ``repositories`` as well."""
    parts = {part for name in names for part in COMPUTED.get(name, (name,))}
    return frozenset({*parts, REPOSITORIES.name} if FILES.name in parts else parts)
