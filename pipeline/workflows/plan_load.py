"""Plans a load, whatever an earlier run left of its plan."""

from __future__ import annotations

import logging

from pipeline.context.config import Config
from pipeline.context.run import Run
from pipeline.model.layout import Load
from pipeline.model.pattern import parse_pattern
from pipeline.night.kept_out import read_kept_out
from pipeline.night.opt_outs import kept_out_now
from pipeline.night.plan import read_plan, restore_plan_summary, write_plan
from pipeline.night.schedule import Limits
from pipeline.rules.night_budget import NightBudget
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.paths import is_temporary
from pipeline.workflows.backfill_batch import plan_batch
from pipeline.workflows.undeclared_forks import place_undeclared_forks, requests_of

logger = logging.getLogger(__name__)


def plan_is_whole(run: Run, load: Load) -> bool:
    """Whether the plan is there and can be read."""
    try:
        read_kept_out(run.storage, load, read_plan(run.storage, load).kept_out)
    except FileMissing:
        return False
    except StoredFileDamaged as error:
        logger.error("%s; it is made again", error)
        return False
    return True


def plan_load(run: Run, load: Load) -> None:
    """Plan a night or a batch. Once buckets of the plan are fetched, only rewrite its damaged parts."""
    if any(not is_temporary(entry.path) for entry in run.storage.list(load.manifests)):
        restore_plan_summary(run.storage, load, kept_out_now(run.spark()))
    elif load.is_night:
        limits = limits_of(run.config)
        place_undeclared_forks(run, load, limits=limits)
        write_plan(run.writer(), run.storage, load, run.archive().buckets, limits=limits)
    else:
        plan_batch(run, load)


def limits_of(config: Config) -> Limits | None:
    """What a night may spend; None if it visits all that are due."""
    schedule = config.schedule
    if schedule.budget is None:
        return None
    return Limits(
        NightBudget.parse(schedule.budget),
        requests_of(config),
        schedule.shares.shares,
        [(parse_pattern(pattern), value) for pattern, value in schedule.importance.items()],
        schedule.greatest_age_nights,
    )
