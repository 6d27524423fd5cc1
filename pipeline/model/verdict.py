"""What Publish decides about the files of a load before it publishes any of them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from pipeline.model.manifest import LandedFile, Manifest
from pipeline.model.visit_counts import VisitCounts

AUDIT = "audit"
"""Error code of visits whose rows were not published because they contradict each other or the archive."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class Verdict(_Record):
    """The audit found something in one bucket: ``manifest`` replaces the one of the fetch task ``of``.

    ``networks``: those whose rows were left out; ``whole``: the whole bucket was left out; ``findings``: sentences;
    ``late``: some table already had the load, so files of the fetch task may belong to it.
    """

    of: str
    whole: bool
    late: bool
    networks: tuple[int, ...]
    findings: tuple[str, ...]
    manifest: Manifest


class PublishedBucket(_Record):
    """The files of one bucket that are published, of one attempt to fetch it."""

    bucket: int
    attempt: str = Field(alias="run_id")
    files: tuple[LandedFile, ...]


class Decision(_Record):
    """What is published of a load, written before the first file is moved; from then on manifests are not read."""

    buckets: tuple[PublishedBucket, ...]
    visits: VisitCounts
