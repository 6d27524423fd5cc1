"""The report of a night: one page of HTML without scripts, which opens without a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from operator import attrgetter

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from pipeline.fetch.bucket import read_manifest
from pipeline.model.layout import Load
from pipeline.model.manifest import Manifest
from pipeline.model.night_summary import NightSummary
from pipeline.model.redact import harmless, without_secrets
from pipeline.night.plan import read_plan
from pipeline.read.freshness import Freshness, freshness
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage

INTERVALS = 60
"""Intervals into which the plots of rates divide the time of the fetch."""

HOSTS = 10
"""Hosts in a table."""

_WIDTH, _HEIGHT = 640.0, 120.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """When a fetch task worked, in seconds since 1970 UTC, and what it brought."""

    began: float
    ended: float
    visits: int
    objects: int
    wire_bytes: int

    @classmethod
    def of(cls, manifest: Manifest) -> Fetched:
        """What a manifest says."""
        ended, counts = manifest.written_at.timestamp(), manifest.visits
        visits = sum(counts.origins.values())
        return cls(ended - manifest.fetch_s, ended, visits, counts.objects, counts.wire_bytes)


@dataclass(frozen=True, slots=True)
class Rates:
    """What came per second, in equal intervals, from the first fetch task's begin to the last one's end."""

    seconds: float
    visits: tuple[float, ...]
    objects: tuple[float, ...]
    wire_bytes: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Host:
    """A host's visits: their number, how many brought nothing, and how long they took, in seconds added up."""

    name: str
    visits: int
    brought_nothing: int
    seconds: float

    @property
    def seconds_each(self) -> float:
        """How long a visit took."""
        return self.seconds / self.visits


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a plot. ``share`` is its length, 0 to 1."""

    name: str
    shown: str
    share: float


def report_page(storage: Storage, load: Load, summary: NightSummary) -> str:
    """The report of a night that is sealed.

    Raises:
        StoredFileDamaged: the table ``origins`` cannot be read.
    """
    return render(
        summary,
        rates_of([Fetched.of(manifest) for manifest in _manifests(storage, load)]),
        _freshness(storage, load.night),
    )


def render(summary: NightSummary, rates: Rates | None, fresh: Freshness | None) -> str:
    """The page.

    Args:
        rates: None if nothing was fetched.
        fresh: None if the table ``origins`` cannot be read.
    """
    hosts = hosts_of(summary)
    stages = {stage: seconds for stage, seconds in summary.seconds.items() if stage != "nightly"}
    return _template().render(
        summary=summary,
        statuses=bars({str(status): count for status, count in summary.origins.items()}),
        errors=bars(summary.errors),
        stages=bars(stages, "{:,.1f} s"),
        slow_hosts=sorted((h for h in hosts if h.seconds), key=attrgetter("seconds"), reverse=True)[:HOSTS],
        failing_hosts=sorted((h for h in hosts if h.brought_nothing), key=_by_failures)[:HOSTS],
        rates=rates,
        plots=_plots(rates) if rates is not None else (),
        fresh=fresh,
        ages=bars(fresh.ages) if fresh is not None else (),
        width=_WIDTH,
        height=_HEIGHT,
    )


def rates_of(fetched: Sequence[Fetched]) -> Rates | None:
    """Rates over time, as if each task had worked evenly; None without any task."""
    if not fetched:
        return None
    began, ended = min(each.began for each in fetched), max(each.ended for each in fetched)
    step = max(ended - began, 1e-3) / INTERVALS
    sums = [[0.0] * INTERVALS for _ in range(3)]
    for each in fetched:
        for place, share in _shares(each, began, step):
            for row, amount in zip(sums, (each.visits, each.objects, each.wire_bytes), strict=True):
                row[place] += amount * share / step
    visits, objects, wire_bytes = map(tuple, sums)
    return Rates(step * INTERVALS, visits, objects, wire_bytes)


def hosts_of(summary: NightSummary) -> list[Host]:
    """The hosts that are told apart, and all others together, by name."""
    return [
        Host(
            name,
            sum(counts.values()),
            sum(count for status, count in counts.items() if not status.ok),
            summary.host_seconds.get(name, 0.0),
        )
        for name, counts in summary.hosts.items()
    ]


def _by_failures(host: Host) -> tuple[int, str]:
    return -host.brought_nothing, host.name


def bars(counts: dict[str, int] | dict[str, float], form: str = "{:,}") -> tuple[Bar, ...]:
    """A bar for each value, in the given order; the longest has the full length."""
    most = max(counts.values(), default=0)
    return tuple(Bar(name, form.format(value), value / most if most else 0.0) for name, value in counts.items())


def _shares(task: Fetched, began: float, step: float) -> Iterator[tuple[int, float]]:
    """The intervals in which a task worked, and the share of its work in each; shares add up to 1."""
    first = min(int((task.began - began) / step), INTERVALS - 1)
    last = min(int((task.ended - began) / step), INTERVALS - 1)
    seconds = max(task.ended - task.began, 1e-9)
    parts = [
        max(min(task.ended, began + (place + 1) * step) - max(task.began, began + place * step), 0.0) / seconds
        for place in range(first, last + 1)
    ]
    whole = sum(parts)
    for place, part in zip(range(first, last + 1), parts, strict=True):
        yield place, part / whole if whole else 1 / len(parts)


def _plots(rates: Rates) -> Iterator[tuple[str, str, str]]:
    """Each plot's title, highest value and points."""
    for title, unit, values in (
        ("Visits per second", "", rates.visits),
        ("Objects per second", "", rates.objects),
        ("Received per second", " MB", tuple(value / 1e6 for value in rates.wire_bytes)),
    ):
        yield title, f"{max(values):,.1f}{unit}", _points(values)


def _points(values: Sequence[float]) -> str:
    """The corners of an area below values, for SVG."""
    most, step = max(values) or 1.0, _WIDTH / len(values)
    tops = (
        f"{(place + side) * step:.1f},{_HEIGHT * (1 - value / most):.1f}"
        for place, value in enumerate(values)
        for side in (0, 1)
    )
    return " ".join([f"0,{_HEIGHT:.1f}", *tops, f"{_WIDTH:.1f},{_HEIGHT:.1f}"])


def _manifests(storage: Storage, load: Load) -> Iterable[Manifest]:
    """The manifests that can be read, one at a time; what is damaged is named in the summary."""
    try:
        buckets = sorted(read_plan(storage, load).buckets)
    except StoredFileDamaged:
        return
    for bucket in buckets:
        try:
            yield read_manifest(storage, load, bucket)
        except (FileMissing, StoredFileDamaged):
            continue


def _freshness(storage: Storage, night: date) -> Freshness | None:
    try:
        return freshness(storage, night)
    except StoredFileDamaged:
        return None


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    return environment.get_template("report.html")


def _shown(value: object) -> object:
    """A value of the page; other people's text without secrets and control characters."""
    return harmless(without_secrets(value)) if type(value) is str else value
