"""The export that is in a folder: it may be replaced by another one while it is written."""

from __future__ import annotations

from typing import TypeVar

from pipeline.model.errors import UsageError
from pipeline.read.export.manifest import MANIFEST, PLAN, Manifest, Plan
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing
from pipeline.storage.interface import Storage

_R = TypeVar("_R", Plan, Manifest)


class Replaced(UsageError):
    """Another export took the folder."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location

    def __str__(self) -> str:
        return f"another export has taken {self.location}, so this one stops. Export to another folder, or run it again"


def export_in(to: Storage) -> tuple[Plan, Manifest | None] | None:
    """The plan of the export that is in the folder, and its manifest if it is complete."""
    for _ in range(2):  # an export that ends writes one file and deletes the other
        manifest = _read(to, MANIFEST, Manifest)
        if manifest is not None:
            return manifest.plan, manifest
        plan = plan_in(to)
        if plan is not None:
            return plan, None
    return None


def plan_in(to: Storage) -> Plan | None:
    """The plan of the export that is being written."""
    return _read(to, PLAN, Plan)


def still_ours(to: Storage, plan: Plan) -> Manifest | None:
    """The manifest if an equal export is complete already; None if the folder still holds this one.

    Raises:
        Replaced: it holds another one, or none.
    """
    found = export_in(to)
    if found is None or found[0] != plan:
        raise Replaced(to.root_uri)
    return found[1]


def _read(to: Storage, path: str, record: type[_R]) -> _R | None:
    try:
        return read_document(to, path, record.model_validate_json)
    except FileMissing:
        return None
