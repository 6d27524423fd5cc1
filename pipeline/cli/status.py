"""``pipeline status``."""

from __future__ import annotations

import click

from pipeline.cli.common import Context, command_options, today
from pipeline.cli.output import Output, size
from pipeline.cli.signals import show_signals
from pipeline.model.origin import check_url
from pipeline.model.visit import VisitStatus
from pipeline.read.status import ArchiveStatus, OriginStatus, archive_status, origin_status


@click.command()
@click.argument("url", required=False)
@command_options
def status(context: Context, url: str | None) -> None:
    """Show what the archive holds, or what is known about one origin."""
    context.archive(to_read=True)
    if url is None:
        overview = archive_status(context.storage, today())
        if not context.output.result(overview):
            _show_archive(context.output, overview)
    else:
        found = origin_status(context.storage, check_url(url))
        if not context.output.result(found):
            _show_origin(context.output, found)


def _show_archive(output: Output, overview: ArchiveStatus) -> None:
    nights = overview.nights
    output.fields(
        "Archive",
        {
            "nights": f"{len(nights)}, {nights[0]} to {nights[-1]}" if nights else "none yet",
            "origins": _counts(overview.origins),
            "last visits": _counts(overview.last_visits),
            "objects": _counts(overview.objects),
            "raw": size(overview.raw_bytes),
            "stored": size(overview.stored_bytes),
            "newest report": overview.report or "none",
            **({"without the greatest age": ", ".join(hosts)} if (hosts := overview.unpromised) else {}),
        },
    )
    show_signals(output, overview.signals)
    if set(overview.last_visits) == {VisitStatus.FAILED} and not any(overview.objects.values()):
        output.say("No origin could be fetched; `pipeline status URL` says why. If there is no network here,")
        output.say("`scripts/quickstart --offline` shows a night without one")


def _show_origin(output: Output, found: OriginStatus) -> None:
    output.fields(found.url, {"fork of": found.fork_of, "state": found.state, "next due": found.next_due})
    output.table(
        "Visits",
        ["night", "status", "error", "objects", "pack", "seconds", "what happened"],
        [(v.night, v.status, v.error, v.objects, size(v.pack_bytes), v.duration_s, v.detail) for v in found.visits],
    )
    output.table(
        "Refs",
        ["name", "target", "symref", "since"],
        [(r.name, r.target, r.symref, r.since) for r in found.refs],
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"
