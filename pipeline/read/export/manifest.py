"""What an export is made from, and what it holds: the plan when it begins, a record per shard, the manifest last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date

from pydantic import BaseModel, ConfigDict

from pipeline.read.export.selection import SUFFIXES, Selection

MANIFEST, CARD, DATA = "manifest.json", "README.md", "data"
WORK = "_export"
"""Folder of the plan and of the records of finished shards, deleted at the end; readers skip names like it."""

PLAN = f"{WORK}/plan.json"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Recipe(_Record):
    """What an export is made from, and how: known before anything is read.

    Attributes:
        archive: its location, without secrets.
        snapshots: the Iceberg snapshot of each table.
        program: versions of what writes the shards.
    """

    archive: str
    night: date
    snapshots: dict[str, int]
    selection: Selection
    program: dict[str, str]


class Plan(Recipe):
    """Everything that decides the bytes of an export: equal plans lead to equal bytes.

    Attributes:
        rows: files that were chosen; those whose content is no text are left out when they are read.
        near_duplicates: files that are not among them, as they are nearly the same as others.
        checksum: of all chosen rows, in whatever order; takedowns and opt-outs change it.
    """

    rows: int
    near_duplicates: int = 0
    shards: int
    checksum: str

    def follows(self, recipe: Recipe) -> bool:
        """Whether it was made by this recipe."""
        return all(getattr(self, name) == getattr(recipe, name) for name in Recipe.model_fields)

    def path(self, shard: int) -> str:
        """Where a shard's rows are."""
        suffix = SUFFIXES[self.selection.format]
        return f"{DATA}/train-{shard:05}-of-{self.shards:05}.{suffix}"


class Counts(_Record):
    """Files and their raw bytes."""

    rows: int = 0
    content_bytes: int = 0


class Shard(_Record):
    """A finished shard.

    Attributes:
        left_out: chosen files that are not in it, by reason.
    """

    number: int
    path: str
    size_bytes: int
    sha256: str
    languages: dict[str, Counts]
    left_out: dict[str, int]

    @property
    def record(self) -> str:
        """Where its record is until the export is complete."""
        return f"{WORK}/{self.number:05}.json"


class Manifest(_Record):
    """Written last: without it, the export is not complete."""

    plan: Plan
    shards: tuple[Shard, ...]

    @property
    def languages(self) -> dict[str, Counts]:
        """What all shards hold, most bytes first."""
        rows, size = Counter[str](), Counter[str]()
        for shard in self.shards:
            for language, counts in shard.languages.items():
                rows[language] += counts.rows
                size[language] += counts.content_bytes
        order = sorted(rows, key=lambda language: (-size[language], language))
        return {language: Counts(rows=rows[language], content_bytes=size[language]) for language in order}

    @property
    def total(self) -> Counts:
        """All files."""
        return total(self.languages.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.size_bytes for shard in self.shards)

    @property
    def left_out(self) -> dict[str, int]:
        """Chosen files that no shard holds, by reason."""
        found = Counter[str]()
        for shard in self.shards:
            found.update(shard.left_out)
        return dict(sorted(found.items()))


def total(counts: Iterable[Counts]) -> Counts:
    """The sum."""
    found = list(counts)
    return Counts(rows=sum(c.rows for c in found), content_bytes=sum(c.content_bytes for c in found))
