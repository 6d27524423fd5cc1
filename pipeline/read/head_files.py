"""The paths in trees as rows of ``files``, in the order of git."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

import pyarrow as pa

from pipeline.model.errors import UsageError
from pipeline.model.tables import FILE_COLUMNS, FILES, extension
from pipeline.model.text import text_and_raw, text_of
from pipeline.read.network_objects import ObjectsMissing
from pipeline.read.one_origin import Place
from pipeline.rules.commit_diff import EMPTY_TREE
from pipeline.rules.walk import MISSING, Budget, Entry, walk

log = logging.getLogger(__name__)

SCHEMA = pa.schema([FILES.arrow_schema.field(name) for name in FILE_COLUMNS])


class TooManyPaths(UsageError):
    """A tree has more paths than are listed here."""

    def __init__(self, origin: str, listed: int) -> None:
        super().__init__(origin, listed)
        self.origin, self.listed = origin, listed

    def __str__(self) -> str:
        return f"{self.origin} has more than {self.listed:,} paths in this commit: too many to list"


def files_below(
    origin: str,
    place: Place,
    root: bytes,
    trees: Mapping[bytes, bytes],
    absent: Collection[bytes] = (),
    *,
    partial: bool = False,
) -> pa.Table:
    """Every path below a root tree, as ``git ls-tree -r`` lists them: the columns of ``files``, sorted by path.

    Args:
        trees: bodies of all trees below the root, by id.
        absent: trees that the archive is known not to keep, whose paths are left out.
        partial: what cannot be listed is left out with a warning, as Spark's ``files`` does.

    Raises:
        ObjectsMissing: a tree is missing.
        TooManyPaths: there are more than a walk takes, see ``rules.walk``.
    """
    budget = Budget()
    entries = () if root == EMPTY_TREE else walk(root, trees, budget)
    found = sorted(entries, key=lambda entry: entry.path)
    if budget.spent:
        _refuse(TooManyPaths(origin, len(found)), partial=partial)
    lost = {entry.oid for entry in found if entry.kind == MISSING} - set(absent)
    if lost:
        _refuse(ObjectsMissing(origin, len(lost), min(lost).hex()), partial=partial)
    rows = [(place.bucket, place.network, origin, *_cells(entry)) for entry in found if entry.kind != MISSING]
    columns = zip(*rows, strict=True) if rows else [()] * len(SCHEMA)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _refuse(problem: Exception, *, partial: bool) -> None:
    if not partial:
        raise problem
    log.warning("%s: only the others are listed", problem)


def _cells(entry: Entry) -> tuple[object, ...]:
    path, raw = text_and_raw(entry.path)
    name = text_of(entry.name)
    return path, raw, name, extension(name), entry.mode & 0x7FFFFFFF, entry.kind, entry.oid
