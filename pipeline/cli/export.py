"""``pipeline export``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from difflib import get_close_matches

import click
from pydantic import ValidationError

from pipeline.cli.common import Context, command_options, night_option
from pipeline.cli.output import Output, size
from pipeline.cli.query_progress import query_progress
from pipeline.model.errors import UsageError
from pipeline.night.language import known_languages
from pipeline.read.archive import Archive
from pipeline.read.export.manifest import Manifest
from pipeline.read.export.run_export import run_export
from pipeline.read.export.selection import SUFFIXES, Selection
from pipeline.storage.factory import open_storage
from pipeline.storage.interface import Storage

_DEFAULT = Selection()


@click.command()
@click.argument("destination")
@night_option
@click.option("--language", "languages", multiple=True, help="Only this one, as in head_blobs; may be repeated.")
@click.option("--licence", "licences", multiple=True, help="SPDX id; only files with no other; may be repeated.")
@click.option("--min-stars", type=int, help="Only of origins that a forge lists with so many stars.")
@click.option("--min-bytes", metavar="SIZE", help="Least size of a file; default: 1 byte.")
@click.option(
    "--max-bytes", metavar="SIZE", help=f"Greatest size of a file; default: {_DEFAULT.max_bytes.human_readable()}."
)
@click.option("--vendored", is_flag=True, help="Keep vendored files too.")
@click.option("--generated", is_flag=True, help="Keep generated files too.")
@click.option("--near-dedup", is_flag=True, help="Of files that are nearly the same keep one.")
@click.option("--format", type=click.Choice(list(SUFFIXES)), default=_DEFAULT.format, show_default=True)
@click.option(
    "--shard-bytes", metavar="SIZE", help=f"Raw size of a shard; default: {_DEFAULT.shard_bytes.human_readable()}."
)
@click.option("--replace", is_flag=True, help="Delete another export that is in DESTINATION.")
@command_options
def export(
    context: Context,
    /,
    destination: str,
    night: date | None,
    languages: tuple[str, ...],
    licences: tuple[str, ...],
    replace: bool,
    **options: object,
) -> None:
    """Write the files at HEAD as a training set, in the layout of Hugging Face datasets.

    DESTINATION is a folder or an hdfs:// URL. A killed export continues with the same command.
    """
    context.archive()
    _check_languages(languages)
    selection = _selection({**options, "languages": _lower(languages), "licences": _lower(licences)})
    to = _destination(context, destination)
    spark = context.spark()
    with query_progress(spark, context.output.messages):
        found = run_export(Archive(spark, night, context.storage), context.storage, to, selection, replace=replace)
    if not context.output.result(_summary(to, found)):
        _show(context.output, to, found)


def _check_languages(names: Sequence[str]) -> None:
    known = {name.lower(): name for name in known_languages()}
    for name in names:
        if name.lower() not in known:
            near = [known[each] for each in get_close_matches(name.lower(), known)]
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise UsageError(f"--language: no language has the name {name}{hint}")


def _lower(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({name.lower() for name in names}))


def _selection(options: dict[str, object]) -> Selection:
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Selection.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        names = "".join(f"--{str(name).replace('_', '-')}: " for name in first["loc"])
        raise UsageError(f"{names}{first['msg'].removeprefix('Value error, ')}") from None


def _destination(context: Context, location: str) -> Storage:
    """The storage at a place that Spark's workers reach, outside the archive."""
    to = open_storage(location, context.config.hdfs)
    if f"{to.root_uri}/".startswith(f"{context.storage.root_uri}/"):
        raise UsageError("the destination is inside the archive, which has files of its own only; name another folder")
    if not to.root_uri.startswith("hdfs://") and not context.config.spark.local:
        raise UsageError("Spark's workers on a cluster write the shards: name a destination on HDFS")
    return to


def _summary(to: Storage, found: Manifest) -> dict[str, object]:
    return {
        "location": to.root_uri,
        "night": found.plan.night,
        "files": found.total.rows,
        "bytes": found.total.content_bytes,
        "stored_bytes": found.size_bytes,
        "shards": len(found.shards),
        "left_out": found.left_out,
        "near_duplicates": found.plan.near_duplicates,
        "languages": {name: counts.model_dump() for name, counts in found.languages.items()},
    }


def _show(output: Output, to: Storage, found: Manifest) -> None:
    output.table(
        "Languages",
        ["language", "files", "bytes"],
        [(name, counts.rows, size(counts.content_bytes)) for name, counts in found.languages.items()],
    )
    output.fields(
        f"Exported to {to.root_uri}",
        {
            "night": found.plan.night,
            "files": found.total.rows,
            "raw": size(found.total.content_bytes),
            "stored": size(found.size_bytes),
            "shards": len(found.shards),
            "near-duplicates left out": found.plan.near_duplicates,
            "left out": ", ".join(f"{count:,} {why}" for why, count in found.left_out.items()) or "none",
        },
    )
