"""Finds undeclared forks among the origins that a load visits for the first time, while the load is planned."""

from __future__ import annotations

from functools import partial

from pipeline.context.run import Run
from pipeline.fetch.tips import ask_tips
from pipeline.model.layout import Load
from pipeline.night.newcomers import place_newcomers
from pipeline.night.plan import Place


def placing(run: Run, load: Load) -> Place | None:
    """What ``write_plan`` takes as ``place``; None if nobody is asked."""
    settings = run.config.fetch
    if not settings.newcomers:
        return None
    ask = partial(
        ask_tips,
        run.storage,
        night=load.night,
        run_id=run.run_id,
        conditions=run.config.conditions,
        concurrency=settings.concurrency,
        scratch=run.scratch,
    )
    return partial(place_newcomers, run.writer(), run.storage, load, run.archive().buckets, settings.newcomers, ask)
