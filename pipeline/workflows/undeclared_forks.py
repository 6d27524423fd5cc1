"""Finds undeclared forks among the origins that a load visits for the first time, before the load is planned."""

from __future__ import annotations

import time
from collections.abc import Collection
from functools import partial

from pipeline.context.config import Config
from pipeline.context.run import Run
from pipeline.fetch.tips import ask_tips
from pipeline.model.layout import Load
from pipeline.night.newcomers import Asking, place_newcomers
from pipeline.night.opt_outs import kept_out_now
from pipeline.night.plan import due_origins
from pipeline.night.schedule import Limits
from pipeline.rules.night_budget import HostRequests, NightBudget

ALL_QUESTIONS_S = 1800.0
"""Seconds after which nobody else is asked for a load; who was not is visited all the same."""

QUESTION_REQUESTS = 2
PART_OF_REQUESTS = 10
"""Questions take one in so many of the requests that a host gets in a night."""


def place_undeclared_forks(
    run: Run, load: Load, *, only: Collection[str] | None = None, limits: Limits | None = None
) -> None:
    """Move undeclared forks among the newcomers of a load; may be repeated after a crash.

    Args:
        only: what the load looks at, as in ``write_plan``; so are ``limits``.
    """
    settings = run.config.fetch
    if not settings.newcomers:
        return
    buckets = run.archive().buckets
    origins = due_origins(run.spark(), run.storage, load, buckets, only=only, limits=limits).rows
    ask = partial(
        ask_tips,
        run.storage,
        night=load.night,
        run_id=run.run_id,
        conditions=run.config.conditions.keeping_out(kept_out_now(run.spark())),
        concurrency=settings.concurrency,
        scratch=run.scratch,
        until=time.monotonic() + ALL_QUESTIONS_S,
    )
    hosts = requests_of(run.config)

    def most_of(host: str) -> int | None:
        requests = hosts.of_host(host)
        share = PART_OF_REQUESTS * QUESTION_REQUESTS * settings.crawl_hosts
        return None if requests is None else requests // share

    place_newcomers(run.writer(), run.storage, load, buckets, origins, Asking(ask, settings.newcomers, most_of))


def requests_of(config: Config) -> HostRequests:
    """What hosts get in a night."""
    budget = NightBudget() if config.schedule.budget is None else NightBudget.parse(config.schedule.budget)
    named = {name: host.requests_per_night for name, host in config.hosts.named.items()}
    return HostRequests.of(budget, config.hosts.default.requests_per_night, named)
