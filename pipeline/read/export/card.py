"""The dataset card: what a training set holds and what it was made from, for people and for Hugging Face's library."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import pyarrow as pa

from pipeline.model.tables import TIME
from pipeline.read.export.columns import MEANING, MISSING, ROWS
from pipeline.read.export.manifest import DATA, MANIFEST, Manifest, Plan
from pipeline.read.export.selection import SUFFIXES
from pipeline.read.minhash import FEWEST, MOST_BYTES, SHINGLE, SIMILAR

_TYPES = {
    pa.string(): "dtype: string",
    pa.bool_(): "dtype: bool",
    pa.int64(): "dtype: int64",
    TIME: "dtype: timestamp[us, tz=UTC]",
    pa.list_(pa.string()): "sequence: string",
}
"""What ``datasets`` calls our types."""


def card(manifest: Manifest) -> str:
    """The text of the card. Equal exports have equal cards: it names no time and no machine besides the archive's."""
    plan, total = manifest.plan, manifest.total
    return "\n".join(
        [
            *_front_matter(manifest),
            "",
            f"# Source code of {plan.night}",
            "",
            f"{total.rows:,} files with {total.content_bytes:,} bytes from public git repositories, as they were at "
            f"HEAD on the night of {plan.night}. Each content occurs once. A row is a file; its columns have the names "
            "of The Stack v2, and `content` is the file itself.",
            "",
            "## Languages",
            "",
            *_table(
                ("language", "files", "bytes"),
                [(name, f"{c.rows:,}", f"{c.content_bytes:,}") for name, c in manifest.languages.items()],
            ),
            "",
            "## How files were chosen",
            "",
            *_rules(plan),
            "- Of several paths with the same content, one that is not vendored, then one of a fork root, then the "
            "first by origin and path.",
            "- Not in it: origins that opted out, and what was taken down, by the time of the export.",
            f"- Left out when they were read: {_left_out(manifest.left_out)}.",
            "- Licences are those that a program recognised in files named like licences. Check them before you use "
            "files.",
            "",
            "## Columns",
            "",
            *_table(("column", "meaning"), [(f"`{name}`", MEANING[name]) for name in ROWS.names]),
            "",
            "Columns of The Stack v2 that are missing here:",
            "",
            *_table(("column", "why"), [(f"`{name}`", why) for name, why in MISSING.items()]),
            "",
            "## Where it comes from",
            "",
            *_table(
                ("", ""),
                [
                    ("archive", f"`{plan.archive}`"),
                    ("night", str(plan.night)),
                    *((f"version of {name}", version) for name, version in plan.program.items()),
                    *((f"snapshot of `{name}`", str(id_)) for name, id_ in plan.snapshots.items()),
                ],
            ),
            "",
            f"`{MANIFEST}` has the options, and the SHA-256 of each of the {len(manifest.shards):,} shards.",
            "",
        ]
    )


def _front_matter(manifest: Manifest) -> list[str]:
    total, suffix = manifest.total, SUFFIXES[manifest.plan.selection.format]
    features = [line for field in ROWS for line in (f"  - name: {field.name}", f"    {_TYPES[field.type]}")]
    return [
        "---",
        f"pretty_name: {json.dumps(f'Source code of {manifest.plan.night}')}",
        "license: other",
        "language:",
        "- code",
        "task_categories:",
        "- text-generation",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        f"    path: {DATA}/train-*.{suffix}",
        "dataset_info:",
        "  features:",
        *features,
        "  splits:",
        "  - name: train",
        f"    num_bytes: {total.content_bytes}",
        f"    num_examples: {total.rows}",
        f"  download_size: {manifest.size_bytes}",
        f"  dataset_size: {total.content_bytes}",
        "---",
    ]


def _rules(plan: Plan) -> list[str]:
    selection = plan.selection
    languages = ", ".join(selection.languages) or "all that are known"
    licences = f"none but {', '.join(selection.licences)}" if selection.licences else "whatever they are, or unknown"
    stars = f"at least {selection.min_stars:,}, as a forge listed them" if selection.min_stars else "not asked for"
    vendored = "included" if selection.vendored else "left out"
    generated = "included" if selection.generated else "left out, as far as `head_blobs.is_generated` knows them"
    near = f"{plan.near_duplicates:,} left out, {_NEAR}" if selection.near_dedup else "included"
    return [
        f"- Languages: {languages}.",
        f"- Licences: {licences}.",
        f"- Stars: {stars}.",
        f"- Sizes: {selection.min_bytes:,} to {selection.max_bytes:,} bytes.",
        f"- Vendored files, by the paths of GitHub Linguist: {vendored}.",
        f"- Generated files, by the rules of GitHub Linguist: {generated}.",
        f"- Near-duplicates: {near}.",
    ]


_NEAR = (
    f"whose Jaccard similarity to a file that is preferred to them is at least {SIMILAR}, as MinHash estimates it from "
    f"runs of {SHINGLE} words and signs; files with fewer than {FEWEST} of these or over {MOST_BYTES:,} bytes are not "
    "compared"
)


def _left_out(reasons: dict[str, int]) -> str:
    return ", ".join(f"{count:,} files that are {reason}" for reason, count in reasons.items()) or "none"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
