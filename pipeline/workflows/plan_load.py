"""Plans a load, whatever an earlier run left of its plan."""

from __future__ import annotations

import logging

from pipeline.context.config import Config
from pipeline.context.run import Run
from pipeline.model.layout import Load
from pipeline.model.pattern import parse_pattern
from pipeline.night.plan import read_plan, restore_plan_summary, write_plan
from pipeline.night.schedule import Limits
from pipeline.rules.night_budget import HostRequests, NightBudget
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.paths import is_temporary
from pipeline.workflows.backfill_batch import plan_batch
from pipeline.workflows.undeclared_forks import placing

logger = logging.getLogger(__name__)


def plan_is_whole(run: Run, load: Load) -> bool:
    """Whether the plan is there and can be read."""
    try:
        read_plan(run.storage, load)
    except FileMissing:
        return False
    except StoredFileDamaged as error:
        logger.error("%s; it is made again", error)
        return False
    return True


def plan_load(run: Run, load: Load) -> None:
    """Plan a night or a batch. Once buckets of the plan are fetched, only rewrite its damaged parts."""
    if any(not is_temporary(entry.path) for entry in run.storage.list(load.manifests)):
        restore_plan_summary(run.storage, load)
    elif load.is_night:
        limits, place = limits_of(run.config), placing(run, load)
        write_plan(run.writer(), run.storage, load, run.archive().buckets, limits=limits, place=place)
    else:
        plan_batch(run, load)


def limits_of(config: Config) -> Limits | None:
    """What a night may spend; None if it visits all that are due."""
    schedule = config.schedule
    if schedule.budget is None:
        return None
    budget = NightBudget.parse(schedule.budget)
    named = {name: host.requests_per_night for name, host in config.hosts.named.items()}
    return Limits(
        budget,
        HostRequests.of(budget, config.hosts.default.requests_per_night, named),
        schedule.shares.shares,
        [(parse_pattern(pattern), value) for pattern, value in schedule.importance.items()],
        schedule.greatest_age_nights,
    )
