"""Where everything is below an archive's root. Pure path names; storage turns them into files.

``archive.json``                        the archive's format and number of buckets
``lease.json``                          who may write
``copy.json``                           this is a copy of another archive, and what of it counts; not in an original
``tables/code/TABLE/``                  Iceberg tables; landed files end up in ``data/LOAD/bucket=N/``
``runs/LOAD/plan/``                     the plan of a load
``runs/LOAD/plan/origins.txt``          list of the origins that a batch adds and visits; a batch begins with it
``runs/LOAD/plan/kept_out.jsonl``       opt-outs and takedowns that no redirect may lead to
``runs/LOAD/plan/refs/bucket=N/``       refs of the plan's origins, one per row
``runs/LOAD/plan/newcomers-K.json``     what new origins showed that were asked before their first visit was planned
``runs/LOAD/plan/tombstones/bucket=N/`` ids of objects that must not come back
``runs/LOAD/landing/bucket=N/ATTEMPT/`` Parquet files of one attempt of a fetch task
``runs/LOAD/landing/bucket=N/visits-K.parquet`` what part K of a bucket's questions found, for its fetch task
``runs/LOAD/manifests/N.json``          written last by a fetch task: its files, and counts of its visits
``runs/LOAD/audit/N-K.json``            the K-th verdict on a bucket; the last one replaces its manifest
``runs/LOAD/quarantine/bucket=N/``      landed files in which the audit found something, by attempt
``runs/LOAD/publishing.json``           the files to publish, written before the first is moved
``runs/LOAD/published.json``            all tables have the load
``runs/LOAD/derived.json``              the derived tables include it
``runs/LOAD/sealed.json``               every table has the night's tag
``runs/LOAD/night.json``                the night is complete and tagged; its summary
``runs/LOAD/report.html``               the night's report, for people; written just before its summary
``runs/underived.json``                 buckets whose derived tables lag behind, until a later load derives them
``results/JOB/NIGHT.json``              lineage of a finished job
``forges/FORGE/N/begun.json``           what a pass over a forge's listing is, written first
``forges/FORGE/N/slice-K/``             pages of a slice of the pass, each with how to go on; deleted when merged
``forges/FORGE/N/slice-K.json``         written last by the task that lists a slice
``forges/FORGE/N/merged-K.json``        the slice is in ``listings`` and ``origins``
``checksums/``                          a checksum of every file, and copies of small files
``fsck/``                               reports of checks, and the progress of a check that was killed

A load is published at once: a night, or one batch of a backfill. ``runs/`` has a folder per load, not per run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from pipeline.model.tables import NAMESPACE

ARCHIVE = "archive.json"
LEASE = "lease.json"
COPY = "copy.json"
WAREHOUSE = "tables"
RUNS = "runs"
RESULTS = "results"
CHECKSUMS = "checksums"
FSCK = "fsck"
FORGES = "forges"
UNDERIVED = f"{RUNS}/underived.json"
_BATCH = "-backfill-"
NIGHT_TAG = "night-"
"""Prefix of the tags of nights."""

_NIGHT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_RETIRED = re.compile(r"retired-\d{4}-\d\d-\d\d-(\d+)")


def parse_night(text: str) -> date | None:
    """The date of a text in the form YYYY-MM-DD; None for any other text.

    >>> parse_night("2026-11-24"), parse_night("20261124"), parse_night("2026-02-30")
    (datetime.date(2026, 11, 24), None, None)
    """
    if not _NIGHT.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def newest_possible(today: date) -> date:
    """The latest night that a run may have on a given day, both UTC: in some time zones it is already tomorrow."""
    return today + timedelta(days=1)


def tag_of(night: date) -> str:
    """The Iceberg tag of a night."""
    return f"{NIGHT_TAG}{night.isoformat()}"


def night_of(tag: str) -> date | None:
    """The night that a tag names; None for any other tag."""
    return parse_night(tag.removeprefix(NIGHT_TAG)) if tag.startswith(NIGHT_TAG) else None


def retired_tag(night: date, seconds: int) -> str:
    """The tag that replaces a night's tag when the night is deleted, for those who are reading it at that moment.

    Args:
        seconds: when it is deleted, since 1970 UTC.
    """
    return f"retired-{night.isoformat()}-{seconds}"


def retired_at(tag: str) -> int | None:
    """When the night of a ``retired_tag`` was deleted, in seconds since 1970 UTC; None for any other tag."""
    match = _RETIRED.fullmatch(tag)
    return None if match is None else int(match[1])


def result_path(job: str, night: date) -> str:
    """Marker and lineage of a finished job."""
    return f"{RESULTS}/{job}/{night.isoformat()}.json"


def table_data(table: str, load: str) -> str:
    """The folder that a table's files of one load are moved into."""
    return f"{WAREHOUSE}/{NAMESPACE}/{table}/data/{load}"


def landed_name(table: str, number: int) -> str:
    """The name of a fetch task's file of a table; ``number`` counts its files of that table from 0.

    >>> landed_name("trees", 0), landed_name("trees", 1)
    ('trees.parquet', 'trees-1.parquet')
    """
    return f"{table}-{number}.parquet" if number else f"{table}.parquet"


def landed_table(path: str) -> str:
    """The table of a path that ends in a ``landed_name``.

    >>> landed_table("x/trees.parquet"), landed_table("x/trees-1.parquet")
    ('trees', 'trees')
    """
    return path.rpartition("/")[2].removesuffix(".parquet").partition("-")[0]


@dataclass(frozen=True, slots=True)
class Load:
    """One unit of publishing. ``name`` is the night's date for a nightly load, else a name that begins with it."""

    night: date
    name: str

    @classmethod
    def of_night(cls, night: date) -> Load:
        """The load of a nightly run."""
        return cls(night, night.isoformat())

    @classmethod
    def named(cls, name: str) -> Load | None:
        """The load that a folder in ``runs/`` belongs to; None if the name is not exactly a load's.

        >>> Load.named("2026-11-24.bak"), Load.named("2026-11-24-backfill-7")
        (None, None)
        """
        night = parse_night(name[:10])
        if night is None:
            return None
        if len(name) == len(night.isoformat()):
            return cls.of_night(night)
        number = name[10:].removeprefix(_BATCH)
        if not number.isascii() or not number.isdecimal():
            return None
        batch = cls.of_batch(night, int(number))
        return batch if batch.name == name else None

    @classmethod
    def of_batch(cls, night: date, number: int) -> Load:
        """A batch of a backfill; ``number`` counts the batches begun on one night, from 1."""
        return cls(night, f"{night.isoformat()}{_BATCH}{number:05d}")

    @property
    def batch_number(self) -> int | None:
        """The number of a batch, as given to ``of_batch``; None for a load that is not a batch."""
        number = self.name.removeprefix(f"{self.night.isoformat()}{_BATCH}")
        return int(number) if number != self.name and number.isdecimal() else None

    @property
    def is_night(self) -> bool:
        """Whether it is a night, and not a batch of a backfill."""
        return self.name == self.night.isoformat()

    @property
    def finished(self) -> str:
        """The last marker of the load: a batch ends with Derive, a night with its summary."""
        return self.night_summary if self.is_night else self.derived

    @property
    def root(self) -> str:
        """Folder of everything about this load."""
        return f"{RUNS}/{self.name}"

    @property
    def plan(self) -> str:
        """Marker of a finished plan: JSON with the buckets to fetch."""
        return f"{self.root}/plan/plan.json"

    @property
    def batch_list(self) -> str:
        """The origins of a batch, one per line, as ``origin_list`` reads them. A night has no such file."""
        return f"{self.root}/plan/origins.txt"

    @property
    def plan_kept_out(self) -> str:
        """What no visit may be led to, see ``night/kept_out.py``; missing if nothing is opted out or taken down."""
        return f"{self.root}/plan/kept_out.jsonl"

    @property
    def plan_origins(self) -> str:
        """Parquet folder, ``bucket=N`` below."""
        return f"{self.root}/plan/origins"

    @property
    def plan_refs(self) -> str:
        """Parquet folder, ``bucket=N`` below; missing in plans of earlier versions."""
        return f"{self.root}/plan/refs"

    @property
    def plan_files(self) -> str:
        """Parquet folder, ``bucket=N`` below."""
        return f"{self.root}/plan/files"

    def newcomers(self, number: int) -> str:
        """What some new origins showed, as ``night/answers.py`` writes it; files of a load count from 1."""
        return f"{self.root}/plan/newcomers-{number}.json"

    @property
    def plan_tombstones(self) -> str:
        """Parquet folder, ``bucket=N`` below; missing if nothing was ever taken down."""
        return f"{self.root}/plan/tombstones"

    @property
    def landings(self) -> str:
        """Folder of what fetch tasks and their questions brought, ``bucket=N`` below."""
        return f"{self.root}/landing"

    def landing(self, bucket: int, attempt: str) -> str:
        """Folder of one attempt of one fetch task."""
        return f"{self.landings}/bucket={bucket}/{attempt}"

    def asked(self, bucket: int, part: int) -> str:
        """What a part of a bucket's questions found; parts count from 0."""
        return f"{self.landings}/bucket={bucket}/visits-{part}.parquet"

    def manifest(self, bucket: int) -> str:
        """Manifest of a fetch task."""
        return f"{self.root}/manifests/{bucket}.json"

    @property
    def manifests(self) -> str:
        """Folder of the manifests."""
        return f"{self.root}/manifests"

    @property
    def audits(self) -> str:
        """Folder of the verdicts."""
        return f"{self.root}/audit"

    def verdict(self, bucket: int, number: int) -> str:
        """A verdict on one bucket; numbers count from 1."""
        return f"{self.audits}/{bucket}-{number}.json"

    @property
    def quarantine(self) -> str:
        """Folder of files in which the audit found something."""
        return f"{self.root}/quarantine"

    @property
    def publishing(self) -> str:
        """The files to publish of the load, see ``Decision``."""
        return f"{self.root}/publishing.json"

    @property
    def published(self) -> str:
        """Marker of a finished Publish."""
        return f"{self.root}/published.json"

    @property
    def derived(self) -> str:
        """Marker of a finished Derive."""
        return f"{self.root}/derived.json"

    @property
    def sealed(self) -> str:
        """Marker of a finished Seal."""
        return f"{self.root}/sealed.json"

    @property
    def night_summary(self) -> str:
        """Marker and summary of a complete night."""
        return f"{self.root}/night.json"

    @property
    def report(self) -> str:
        """The report of a night, a page for people."""
        return f"{self.root}/report.html"


@dataclass(frozen=True, slots=True)
class ForgePass:
    """One pass over the listing of a forge. Passes of a forge, slices of a pass and pages of a pass count from 1."""

    forge: str
    number: int

    @property
    def root(self) -> str:
        """Folder of everything about this pass."""
        return f"{FORGES}/{self.forge}/{self.number:05d}"

    @property
    def begun(self) -> str:
        """What the pass is."""
        return f"{self.root}/begun.json"

    @property
    def stuck(self) -> str:
        """On which days it came no further."""
        return f"{self.root}/stuck.json"

    @property
    def given_up(self) -> str:
        """Marker of a pass that nobody goes on with."""
        return f"{self.root}/given_up.json"

    def pages(self, slice_: int) -> str:
        """Folder of the pages of a slice."""
        return f"{self.root}/slice-{slice_:05d}"

    def page(self, slice_: int, number: int) -> str:
        """A page."""
        return f"{self.pages(slice_)}/page-{number:08d}.parquet"

    def manifest(self, slice_: int) -> str:
        """Marker of a slice that is listed."""
        return f"{self.pages(slice_)}.json"

    def merged(self, slice_: int) -> str:
        """Marker of a slice that is merged."""
        return f"{self.root}/merged-{slice_:05d}.json"
