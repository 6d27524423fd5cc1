"""What Publish decides about the files of a load before any of them is published."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from pipeline.model.manifest import LandedFile, Manifest
from pipeline.model.visit_counts import VisitCounts

AUDIT = "audit"
"""Error code of visits of which nothing was published, as what they fetched contradicts itself or the archive."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class Verdict(_Record):
    """The audit found something in one bucket: ``manifest`` stands in place of the one of the fetch task ``of``.

    ``networks`` are those whose rows were left out, ``whole`` tells that all of the bucket was; ``findings`` are
    sentences. ``late``: some table had the load already, so that files of the fetch task may belong to it.
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
    """What is published of a load, written before the first file is moved; from then on manifests are not asked."""

    buckets: tuple[PublishedBucket, ...]
    visits: VisitCounts
