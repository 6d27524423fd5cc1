"""Manifests count visits, whoever wrote them."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from pipeline.model.manifest import Manifest
from pipeline.model.visit import VisitStatus
from pipeline.model.visit_counts import FAILURES_SHOWN, FailedVisit, VisitCounts, sum_counts

EARLIER = {
    "load": "2026-11-01", "night": "2026-11-01", "run_id": "r", "bucket": 0, "host": "h",
    "written_at": "2026-11-01T00:00:00Z", "fetch_s": 1.5, "files": [],
    "visits": [
        {
            "origin": f"git://a/{number}", "network": number, "status": status, "error": error, "detail": detail,
            "head_moved": True, "refs_changed": 1, "pack_bytes": 100, "objects": 2, "duration_s": 0.1,
        }
        for number, (status, error, detail) in enumerate(
            [
                ("full", None, None), ("full", None, None), ("failed", "timeout", "no answer"),
                ("failed", "damaged", "x/y.parquet cannot be read: the file is gone"),
            ]
        )
    ],
}  # fmt: skip


def test_a_manifest_of_an_earlier_version_is_counted() -> None:
    manifest = Manifest.model_validate_json(json.dumps(EARLIER))
    assert manifest.visits.origins == {"full": 2, "failed": 2}
    assert (manifest.visits.objects, manifest.visits.wire_bytes) == (8, 400)
    assert [failed.error for failed in manifest.visits.failed] == ["timeout", "damaged"]
    assert manifest.visits.damaged == ("x/y.parquet",)
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


@pytest.mark.parametrize("visits", [[{"origin": "git://a/b"}], ["full"], "full", 3, None])
def test_what_counts_no_visits_is_refused(visits: object) -> None:
    with pytest.raises(ValidationError):
        Manifest.model_validate_json(json.dumps({**EARLIER, "visits": visits}))


def test_a_manifest_is_as_large_for_a_million_visits_as_for_few() -> None:
    failed = tuple(
        FailedVisit(origin=f"git://a/{number}", status=VisitStatus.FAILED, error="timeout", detail=None)
        for number in range(FAILURES_SHOWN)
    )
    part = VisitCounts(origins={VisitStatus.FAILED: 1000}, objects=3, wire_bytes=4, failed=failed, damaged=("x",))
    whole = sum_counts([part] * 1000)
    assert whole.origins == {"failed": 1_000_000}
    assert (whole.objects, whole.wire_bytes, whole.failed, whole.damaged) == (3000, 4000, failed, ("x",))
