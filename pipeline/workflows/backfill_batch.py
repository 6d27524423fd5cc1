"""A batch of a backfill of origins: it begins by storing its list, and is planned only from that list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from pipeline.context.run import Run
from pipeline.model.layout import RUNS, Load, table_data
from pipeline.model.origin import Origin
from pipeline.model.origin_list import parse_origin_list
from pipeline.night.opt_outs import admitted
from pipeline.night.origins import add_origins
from pipeline.night.plan import last_visits, write_plan
from pipeline.night.standing import keep_out
from pipeline.storage.errors import FileMissing
from pipeline.storage.interface import Storage
from pipeline.workflows.undeclared_forks import place_undeclared_forks


def begin_batch(storage: Storage, night: date, origins: Sequence[Origin]) -> Load:
    """Begin a batch under a new name. Any later run that finds it unfinished can complete it.

    Only for the holder of the lease.
    """
    load = Load.of_batch(night, 1 + max(_batch_numbers(storage, night), default=0))
    lines = (origin.url if origin.fork_of is None else f"{origin.url} {origin.fork_of}" for origin in origins)
    storage.create(load.batch_list, "".join(f"{line}\n" for line in lines).encode())
    return load


def plan_batch(run: Run, load: Load) -> None:
    """Add the batch's origins to the table, and plan a visit of each; may be repeated after a crash.

    A batch without a list was killed as it began; its plan is empty. Origins that were opted out since it began are
    skipped.
    """
    spark, buckets = run.spark(), run.archive().buckets
    listed = _read_list(run.storage, load)
    origins, _ = admitted(spark, listed)
    known = last_visits(spark, [origin.url for origin in origins])
    new = [origin for origin in origins if origin.url not in known]
    if new:
        run.check_lease()
        add_origins(spark, new, buckets, datetime.now(UTC))
        keep_out(spark, admitted(spark, listed)[1])
    urls = [origin.url for origin in origins]
    place_undeclared_forks(run, load, only=urls)
    write_plan(run.writer(), run.storage, load, buckets, only=urls)


def _read_list(storage: Storage, load: Load) -> list[Origin]:
    try:
        lines = storage.read(load.batch_list).decode().splitlines()
    except FileMissing:
        return []
    return parse_origin_list(load.batch_list, lines)


def _batch_numbers(storage: Storage, night: date) -> list[int]:
    """Numbers of the batches that began on this night or, if their folders are gone, were published on it."""
    numbers = []
    for folder in (RUNS, table_data("visits", "").rstrip("/")):
        for entry in storage.list(folder):
            load = Load.named(entry.path.rpartition("/")[2])
            if load is not None and load.night == night and load.batch_number is not None:
                numbers.append(load.batch_number)
    return numbers
