"""What a worker answers; no Spark."""

from __future__ import annotations

import pytest

from pipeline.maintain.spread import ATTEMPTS, _Answering
from pipeline.model.errors import PipelineError
from pipeline.storage.errors import StorageUnavailable, StoredFileDamaged

LATER, DAMAGED = StorageUnavailable("x", "no DataNode answers"), StoredFileDamaged("x", "is torn")


@pytest.mark.parametrize(
    ("errors", "answer", "attempts"),
    [
        ([], "done", 1),
        ([LATER], "done", 2),
        ([LATER] * ATTEMPTS, LATER, ATTEMPTS),
        ([DAMAGED], DAMAGED, 1),
    ],
)
def test_a_worker_repeats_what_a_retry_may_help_and_answers_with_the_error_otherwise(
    errors: list[PipelineError], answer: object, attempts: int
) -> None:
    left, items = list(errors), []

    def work(item: str) -> str:
        items.append(item)
        if left:
            raise left.pop(0)
        return "done"

    assert _Answering(work)("piece") == answer
    assert items == ["piece"] * attempts
