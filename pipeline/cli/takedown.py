"""``pipeline takedown``."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from pathlib import Path

import click

from pipeline.cli.common import Context, command_options
from pipeline.cli.output import Output, size
from pipeline.maintain.takedown.run_takedown import TakedownReport, run_takedown
from pipeline.maintain.takedown.targets import Target, parse_target, parse_targets
from pipeline.maintain.takedown.verify import Verified, Wanted, verify
from pipeline.model.errors import ExitCode, UsageError
from pipeline.model.tombstone import Tombstone
from pipeline.read.inventory.record import keep_record, record_user_tables
from pipeline.tables.tombstones import pending, tombstones


@click.command()
@click.option("--origin", "urls", metavar="URL", multiple=True, help="An origin and all objects that only it has.")
@click.option("--object", "ids", metavar="ID", multiple=True, help="An object by its 40-digit id, in every network.")
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="File of URLs and ids, one per line; # begins a comment.",
)
@click.option("--reason", help="Why; recorded with the time and the user.")
@click.option(
    "--verify",
    "only_verify",
    is_flag=True,
    help="Search every file for the given targets, or for all that were ever taken down.",
)
@click.option("--list", "only_list", is_flag=True, help="List what was taken down.")
@command_options
def takedown(
    context: Context,
    urls: tuple[str, ...],
    ids: tuple[str, ...],
    source: Path | None,
    reason: str | None,
    only_verify: bool,
    only_list: bool,
) -> int:
    """Take down origins or objects: hidden from readers at once, never fetched again, gone from the files after expiry.

    Run it again after an interruption. `pipeline maintain` deletes the files once maintain.snapshot_age_s has passed;
    --verify then proves it, and exits with 0 only if no file holds anything any more.
    """
    context.archive()
    targets = _targets(urls, ids, source)
    if only_list:
        _list(context)
        return ExitCode.DONE
    if only_verify and reason is None:
        return _verify(context, targets)
    if not targets or not (reason or "").strip():
        raise UsageError("say what to take down, with --origin, --object or --from, and why, with --reason")
    report = run_takedown(context, targets, reason or "", getpass.getuser())
    keep_record(context.storage, record_user_tables)
    found = _verified(context, targets) if only_verify else None
    if not context.output.result({**asdict(report), "verified": found}):
        _show(context.output, report)
        if found is not None:
            _show_verified(context.output, found)
    return ExitCode.CHECK_FAILED if found is not None and found.holds else ExitCode.DONE


def _targets(urls: tuple[str, ...], ids: tuple[str, ...], source: Path | None) -> list[Target]:
    found = [parse_target(text) for text in (*urls, *ids)]
    if any(target.url is None for target in found[: len(urls)]) or any(t.oid is None for t in found[len(urls) :]):
        raise UsageError("--origin takes a URL, --object an id of 40 hexadecimal digits")
    if source is not None:
        with click.open_file(str(source)) as lines:
            found += parse_targets(str(source), lines)
    return list(dict.fromkeys(found))


def _show(output: Output, report: TakedownReport) -> None:
    for taken in report.taken:
        if taken.already:
            output.say(f"{taken.target}: was already taken down")
        else:
            objects = "all objects of its network" if taken.objects is None else f"{taken.objects:,} objects"
            output.say(f"{taken.target}: taken down, with {objects}; it can no longer be read")
    if report.held_by is not None:
        output.say(
            f"The archive is held by {report.held_by}: `pipeline maintain`, or this command again, rewrites the files"
        )
    if report.removal is not None:
        output.table(
            f"Rewritten in {report.removal.seconds:.1f} s",
            ["table", "rows", "files", "size", "snapshots", "files now", "size now"],
            [
                (t.table, t.rows, t.files, size(t.before_bytes), t.snapshots, t.written, size(t.after_bytes))
                for t in report.removal.tables
            ],
        )
        if report.removal.unfinished:
            waits = ", ".join(report.removal.unfinished)
            output.say(
                f"{waits} is unfinished and may bring some of it back: finish it, then run this or `maintain` again"
            )
        output.say("`pipeline maintain` deletes the old files once maintain.snapshot_age_s has passed")


def _verify(context: Context, targets: list[Target]) -> int:
    found = _verified(context, targets)
    if not context.output.result(found):
        _show_verified(context.output, found)
    return ExitCode.CHECK_FAILED if found.holds else ExitCode.DONE


def _verified(context: Context, targets: list[Target]) -> Verified:
    """Search for some targets, or without any for all that were ever taken down."""
    stones = tombstones(context.spark())
    if targets:
        named = {s.takedown for s in stones if Target(s.url, s.oid) in targets and s.reason is not None}
        stones = [stone for stone in stones if stone.takedown in named]
        missing = [str(t) for t in targets if not any((s.url, s.oid) == (t.url, t.oid) for s in stones)]
        if missing:
            raise UsageError(f"{', '.join(missing)}: was never taken down")
    return verify(context.spark(), context.storage, Wanted.of(stones))


def _show_verified(output: Output, found: Verified) -> None:
    if found.holds:
        output.table(
            "Still hold something",
            ["file", "rows", "what", "until"],
            [(held.path, held.rows, held.what, str(held.until)) for held in found.holds],
        )
    held = f"{len(found.holds):,} of them hold something" if found.holds else "none of them holds anything"
    output.say(f"{found.files:,} files with {size(found.size_bytes)} were searched: {held}")


def _list(context: Context) -> None:
    spark = context.spark()
    open_ = pending(spark)
    named = [stone for stone in tombstones(spark) if stone.reason is not None]
    lines = [
        {
            "target": _target(stone),
            "at": stone.at,
            "by": stone.by,
            "reason": stone.reason,
            "in_files": stone.takedown in open_,
        }
        for stone in sorted(named, key=lambda stone: stone.at)
    ]
    if not context.output.result(lines):
        context.output.table(
            None, ["target", "at", "by", "reason", "still in current files"], [tuple(line.values()) for line in lines]
        )


def _target(stone: Tombstone) -> str:
    return str(Target(stone.url, stone.oid))
