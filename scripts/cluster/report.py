"""The tables of ``docs/cluster.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from cluster import assumed
from cluster.hosts import AtHost
from cluster.outcome import COMPACTION, CRAWL, DERIVE, FETCH, JOIN, Outcome, Planned, T
from cluster.population import COLUMNS
from cluster.rates import Rates
from cluster.schedule import Stage
from cluster.stages import FirstCrawl, Night
from cluster.written import LANDED

BEGIN, END = "<!-- scripts/cluster_model writes from here -->", "<!-- to here -->"
MOST_OVER_BOUND = 1.2

_SHOWN = {
    "networks": "networks",
    "origins": "origins",
    "pack": "packs, as served",
    "raw": "raw",
    "objects": "objects",
    "files": "files at HEAD, each network's once",
    "rows": "rows of `files` as readers see it: a path per origin",
    "others": "files of distinct trees at HEAD besides each network's first",
    "changed": "origins that a night finds changed",
    "pushes": "pushes in a night",
    "new_raw": "raw, new in a night",
    "moved_rows": "paths of these origins",
}

_BYTES = {"pack", "raw", "new_raw"}


def fill(path: Path, sections: Iterable[str]) -> None:
    """Replace the text between the two marks of a document.

    Raises:
        ValueError: it has no marks.
    """
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{path} has no line {BEGIN} or {END} between which to write")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    body = "\n\n".join(sections)
    path.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}")


def population_table(found: Outcome) -> str:
    """Sums of the population, and how unevenly they lie."""
    people = found.people
    rows = [
        (
            _SHOWN[name],
            _amount(name, people.total(name)),
            _amount(name, float(people.of_whole(name).max())),
            f"{people.bucket(name).max() / people.bucket(name).mean():.2f}",
        )
        for name in COLUMNS
    ]
    return table(("of a full archive", "all", "largest network", "fullest bucket over the mean"), rows)


def _amount(column: str, value: float) -> str:
    return size(value) if column in _BYTES else number(value)


def stage_table(stages: Mapping[str, Stage]) -> str:
    """Makespans against their lower bounds."""
    rows = [
        (
            name,
            f"{stage.tasks:,}",
            duration(stage.share_s),
            duration(stage.indivisible_s),
            duration(stage.longest_s),
            duration(stage.bound_s),
            f"**{duration(stage.makespan_s)}**",
            over(stage),
        )
        for name, stage in stages.items()
    ]
    columns = (
        "stage", "tasks", "work / threads", "longest indivisible piece", "longest task today", "lower bound",
        "makespan", "over the bound",
    )  # fmt: skip
    return table(columns, rows)


def holdings_table(found: Outcome) -> str:
    """Files, memory and bytes."""
    crawl, night, compaction = found.crawl, found.night, found.compaction
    rows = [
        ("batches of the first crawl, leader's time in them", f"{crawl.batches:,}, {duration(crawl.leader_s)}"),
        ("bytes per second that the first crawl receives, by threads alone",
         size(found.people.total("pack") / crawl.stage.makespan_s)),
        ("data files after the first crawl", f"{crawl.files:,}, of contents {crawl.content_files:,}"),
        ("files of contents after a whole compaction", f"{compaction.files:,}"),
        ("NameNode objects after the first crawl, after a whole compaction", _both(found.objects, number)),
        ("NameNode's heap for them", _both(found.objects, lambda n: size(n * assumed.NAMENODE_BYTES_AN_OBJECT))),
        ("data files that a night lands", f"{night.files:,}"),
        ("leader's time in a night besides", duration(night.leader_s)),
        ("rows of `files`, as lines", number(night.stored_rows)),
        ("entries to compare beyond the limit of a network: such paths are left out", number(night.paths_left_out)),
        ("split of `contents`, file bytes", size(found.split_bytes)),
        ("leader's memory in a night that visits all, in a batch of the first crawl",
         f"{size(night.leader_bytes)}, {size(crawl.leader_bytes)}"),
        ("driver's heap", size(found.driver_bytes)),
        ("of that for planning a scan of contents, after the first crawl, after a whole compaction",
         _both(found.planning_bytes, size)),
        ("`--dry-run` says, after the first crawl, after a whole compaction",
         _both(found.notes, lambda notes: "; ".join(notes) or "nothing")),
        ("pieces of a compaction in the fullest bucket", f"{compaction.pieces_of_fullest:,}"),
        ("ids and names of a piece in memory", size(compaction.key_bytes)),
        ("scratch of a piece", size(compaction.scratch_bytes)),
        ("share of the archive that a night's hour of compaction rewrites", f"{compaction.nightly_share:.1%}"),
        ("memory of the largest restore", size(found.restore_bytes)),
    ]  # fmt: skip
    return table(("what", "figure"), rows)


def written_table(night: Night) -> str:
    """Bytes that a night writes, for bytes that changed."""
    rows = [
        (
            each.table if each.how == LANDED and not each.new else f"`{each.table}`",
            f"{number(each.new)}, {number(each.gone)}" if each.new else "",
            each.how,
            size(each.bytes),
            size(each.changed_bytes),
            f"{each.bytes / each.changed_bytes:.3g}x",
        )
        for each in night.written
    ]
    all_, changed = (sum(getattr(each, name) for each in night.written) for name in ("bytes", "changed_bytes"))
    rows.append(("all", "", "", f"**{size(all_)}**", size(changed), f"**{all_ / changed:.3g}x**"))
    return table(("table", "rows added, removed", "how", "bytes written", "bytes changed", "for each"), rows)


NIGHT_S = 8 * 3600
RATES = (1, 10, 100, 1_000, 10_000)
"""Multiples of what our manners permit at the largest host."""

ANY = 2**31
"""Conversations at once, where only requests are limited."""


def host_table(found: Outcome) -> str:
    """Hosts, what we permit ourselves there, and the shortest times that follow."""
    by_threads_s = _by_threads(found)
    rows = []
    for each in found.hosts:
        visits = (each.night, each.changed, each.crawl)
        least_s = [made.least_s(each.limits) for made in visits]
        rules = ["host" if least > threads else "threads" for least, threads in zip(least_s, by_threads_s, strict=True)]
        rows.append(
            (
                _host_name(each),
                number(each.origins),
                f"{duration(each.host.mean_s)}, {duration(each.host.slow_s)}",
                f"{each.limits.conversations}, {number(each.limits.per_second)}",
                *(f"{number(made.count)}, {duration(least)}" for made, least in zip(visits, least_s, strict=True)),
                ", ".join(bold(which, by=which == "host") for which in rules),
            )
        )
    columns = (
        "host", "origins", "an answer: mean, one in a hundred", "permitted: conversations at once, requests a second",
        "night of all origins: conversations, shortest time", "night of changed ones alone", "first crawl",
        "the bound of each",
    )  # fmt: skip
    return table(columns, [*rows, ("by threads", "", "", "", *map(duration, by_threads_s), "")])


def manners_table(found: Outcome) -> str:
    """What the largest host would have to permit, until threads are the bound."""
    largest = found.hosts[0]
    visits = (largest.night, largest.changed, largest.crawl)
    rows = []
    for times in RATES:
        limits = largest.limits._replace(per_second=largest.limits.per_second * times, conversations=ANY)
        in_a_night = limits.per_second / largest.night.requests * NIGHT_S
        under_way = (limits.per_second / made.requests * made.each_s for made in (largest.night, largest.crawl))
        least_s = [made.least_s(limits) for made in visits]
        rows.append(
            (
                number(limits.per_second),
                ", ".join(map(number, under_way)),
                f"{number(in_a_night)}, {min(in_a_night / largest.night.count, 1):.1%}",
                *(
                    bold(duration(max(least, threads)), by=least > threads)
                    for least, threads in zip(least_s, _by_threads(found), strict=True)
                ),
            )
        )
    columns = (
        f"requests a second to {largest.host.name}", "conversations under way: night, first crawl",
        "visits in 8 h, of its origins", "night of all origins", "night of changed ones alone", "first crawl",
    )  # fmt: skip
    return table(columns, rows)


def _by_threads(found: Outcome) -> tuple[float, float, float]:
    """Seconds that threads need for a night of all origins, for one of changed ones alone, and for the first crawl."""
    return found.stages[FETCH].makespan_s, found.night.changed_alone_s, found.stages[CRAWL].makespan_s


def _host_name(each: AtHost) -> str:
    many = each.host.instances
    return each.host.name if many == 1 else f"{many:,} others; conversations and times of the largest"


def _both(planned: Planned[T], text: Callable[[T], str]) -> str:
    return f"{text(planned.crawled)}, {text(planned.compacted)}"


def series_table(first: str, outcomes: Mapping[str, Outcome]) -> str:
    """Makespan and its multiple of the bound, by stage, for several outcomes."""
    names = next(iter(outcomes.values())).stages
    rows = [
        (name, *(f"{duration(each.stages[name].makespan_s)} ({over(each.stages[name])})" for each in outcomes.values()))
        for name in names
    ]
    return table((first, *outcomes), rows)


def bucket_table(outcomes: Mapping[int, Outcome]) -> str:
    """What follows from the number of buckets."""
    rows = [
        (
            f"{buckets:,}",
            over(each.stages[CRAWL]),
            over(each.stages[FETCH]),
            over(each.stages[DERIVE]),
            over(each.stages[JOIN]),
            number(each.crawl.objects),
            f"{each.night.files:,}",
            over(each.stages[COMPACTION]),
        )
        for buckets, each in outcomes.items()
    ]
    columns = (
        "buckets", "first crawl", "fetch", "derive", "join", "NameNode objects after the crawl", "files a night",
        "compaction",
    )  # fmt: skip
    return table(columns, rows)


def batch_table(crawls: Mapping[tuple[int, float], FirstCrawl]) -> str:
    """What follows from the size of a batch and from the limit of a visit, in seconds."""
    rows = [
        (
            f"{origins:,}",
            duration(visit_s),
            f"{crawl.batches:,}",
            duration(crawl.stage.makespan_s),
            over(crawl.stage),
            duration(crawl.leader_s),
            number(crawl.objects),
        )
        for (origins, visit_s), crawl in crawls.items()
    ]
    return table(
        ("origins a batch", "limit of a visit", "batches", "makespan", "over the bound", "leader", "NameNode objects"),
        rows,
    )


def rate_table(rates: Rates) -> str:
    """The measured rates that the model uses."""
    rows = [
        ("objects fetched, small repositories", number(rates.fetched_objects)),
        ("raw bytes fetched, long history", size(rates.fetched_raw_bytes)),
        ("visits that find nothing new", number(1 / rates.unchanged_s)),
        ("raw bytes scanned in the JVM", size(rates.jvm_bytes)),
        ("raw bytes scanned in Python", size(rates.python_bytes)),
        ("raw bytes compacted", size(rates.compacted_raw_bytes)),
        ("raw bytes restored, long history, as far as processes share the work", size(rates.restored_raw_bytes)),
        ("raw bytes restored meanwhile by the first process", size(rates.restored_alone_raw_bytes)),
    ]
    return table(("per core and second", "docs/benchmarks.json"), rows)


def bold(text: str, *, by: bool) -> str:
    """Bold text on a condition."""
    return f"**{text}**" if by else text


def over(stage: Stage) -> str:
    """Makespan over its bound; bold if it is too much."""
    ratio = stage.over_bound
    text = f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.2f}x"
    return bold(text, by=ratio > MOST_OVER_BOUND)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Three digits and a word."""
    for limit, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= limit:
            return f"{value / limit:.3g} {word}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def size(value: float) -> str:
    """Decimal bytes."""
    for limit, unit in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value / 1e3:.3g} kB"


def duration(seconds: float) -> str:
    """In the unit that people would use."""
    for limit, unit in ((86_400 * 365, "y"), (86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * limit:
            return f"{seconds / limit:.3g} {unit}"
    return f"{seconds:.3g} s"
