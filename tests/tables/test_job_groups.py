"""Jobs that are cancelled before Spark knows them, as at a Ctrl-C while a query is planned."""

from __future__ import annotations

import threading

import pytest
from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # py4j has no types
from pyspark.sql import SparkSession

from pipeline.tables.job_groups import GROUP, JobGroups


def test_a_query_that_is_still_planned_gets_no_job_after_its_group_was_cancelled(session: SparkSession) -> None:
    context = session.sparkContext
    jobs = JobGroups(context)
    jobs.begin()
    try:
        assert session.range(3).count() == 3
        cancelling = threading.Thread(target=jobs.cancel, args=(jobs.current,))
        cancelling.start()
        cancelling.join()
        with pytest.raises(Py4JJavaError, match=rf"cancelled part of cancelled job group {jobs.current}"):
            session.range(3).count()
        jobs.begin()
        assert session.range(3).count() == 3
    finally:
        context.setLocalProperty(GROUP, None)  # type: ignore[arg-type]  # as Spark has it before the first
