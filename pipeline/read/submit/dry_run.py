"""What a job would read and cost, without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from pipeline.model.redact import is_secret_name, without_secrets
from pipeline.model.tables import ALL
from pipeline.read.archive import MOST_ROWS, Archive
from pipeline.read.names import COMPUTED, NAMES, with_parts
from pipeline.read.submit.find_job import find_job, job_source
from pipeline.read.submit.run_job import NoNightYet
from pipeline.rules.cluster import SHUFFLE_PARTITIONS, Cluster, fitted_partitions
from pipeline.rules.partitioning import Partitioning, partition

_ALL = frozenset(table.name for table in ALL)
_IN_SQL = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)", re.IGNORECASE)
_OTHER_READS = {
    "refs": {"refs"},
    "refs_at": {"refs"},
    "map_contents": {"contents"},
    **{name: {name} for name in COMPUTED},
    "objects": {"commits", "tags", "trees", "contents"},
}


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a job on a night would read and cost.

    Attributes:
        stored_bytes: size of all tables of the archive on that night, each file counted once.
        settings: settings of the Spark session that would run it, by full name; possible secrets are hidden.
    """

    job: str
    night: date
    reads: Partitioning
    stored_bytes: int
    settings: Mapping[str, str]


def dry_run(archive: Archive, job: str, cluster: Cluster, settings: Mapping[str, str]) -> DryRun:
    """Estimate a job from the tables that it says it reads, or those that its code names, and their sizes.

    Args:
        archive: only its metadata are read.
        cluster: the cluster that the job would run on.
        settings: settings of its session.

    Raises:
        NoSuchJob, JobFailed: there is no such job, or it cannot be imported.
        NightNotFound, NoNightYet: there is no such night, or none at all.
    """
    found = find_job(job)
    names = with_parts(tables_named(job_source(job)) if found.reads is None else found.reads)
    night = archive.night()
    if night is None:
        raise NoNightYet
    stats = archive.stats(table.name for table in ALL)
    reads = partition([table for table in stats if table.name in names], cluster)
    rows = max(table.rows for table in stats if table.name in MOST_ROWS)
    fitted = {**settings, SHUFFLE_PARTITIONS: str(fitted_partitions(int(settings[SHUFFLE_PARTITIONS]), rows))}
    shown = {key: "(hidden)" if is_secret_name(key) else without_secrets(value) for key, value in fitted.items()}
    return DryRun(found.name, night, reads, sum(table.stored_bytes for table in stats), shown)


def tables_named(source: str) -> frozenset[str]:
    """What a job's code could read by its name; all tables if it does not say.

    They are found in the arguments of ``table`` methods, after FROM and JOIN in texts, and in ``Archive``'s other
    reading methods.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr="table"), args=[ast.Constant(value=str(name)), *_]):
                found.add(name)
            case ast.Call(func=ast.Attribute(attr="table")):
                return _ALL
            case ast.Call(func=ast.Attribute(attr=method)) if method in _OTHER_READS:
                found |= _OTHER_READS[method]
            case ast.Constant(value=str(text)):
                found.update(_IN_SQL.findall(text))
    return NAMES & found or _ALL
