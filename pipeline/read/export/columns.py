"""The columns of a training set: those of The Stack v2 that the archive has data for, by its names."""

from __future__ import annotations

import pyarrow as pa

from pipeline.model.tables import TIME

CHOSEN = pa.schema(
    [
        ("directory_id", pa.string()),
        ("path", pa.string()),
        ("content_id", pa.string()),
        ("repo_name", pa.string()),
        ("origin", pa.string()),
        ("revision_id", pa.string()),
        ("branch_name", pa.string()),
        ("visit_date", TIME),
        ("revision_date", TIME),
        ("committer_date", TIME),
        ("language", pa.string()),
        ("detected_licenses", pa.list_(pa.string())),
        ("is_vendor", pa.bool_()),
        ("is_generated", pa.bool_()),
        ("length_bytes", pa.int64()),
        ("extension", pa.string()),
    ]
)
"""Known before a content is read."""

TEXTS = tuple(field.name for field in CHOSEN if field.type in (pa.string(), pa.list_(pa.string())))
"""Columns of ``CHOSEN`` that other people may make long."""

ROWS = pa.schema(
    [
        pa.field("blob_id", pa.string()),
        *CHOSEN,
        pa.field("src_encoding", pa.string()),
        pa.field("content", pa.string()),
    ]
)
"""A row of a shard."""

MEANING = {
    "blob_id": "SHA-1 of the content's bytes, as Software Heritage names a file in its object storage",
    "directory_id": "git's id of the root tree of `revision_id`",
    "path": "path from that root, with a leading slash",
    "content_id": "git's id of the blob",
    "repo_name": "path of the origin's URL, `owner/name` on most hosts",
    "origin": "the clone URL; not a column of The Stack v2",
    "revision_id": "git's id of the commit at HEAD",
    "branch_name": "the ref that HEAD names, null if detached",
    "visit_date": "night of the visit that found this HEAD",
    "revision_date": "author time of that commit",
    "committer_date": "committer time of that commit",
    "language": "by name and content, as Pygments calls it",
    "detected_licenses": "SPDX ids of the licence files in the file's folder, or in the nearest above that has some, "
    "NOASSERTION for one that was not recognised; empty without any, null if the origin has too many to compare",
    "is_vendor": "the path falls under Linguist's rules of vendored files",
    "is_generated": "a program wrote it, by Linguist's rules; null if the archive does not know",
    "length_bytes": "bytes of the content",
    "extension": "of the file's name, without the dot and in lower case",
    "src_encoding": "encoding of the content in git: UTF-8, as all others are left out",
    "content": "the file",
}

MISSING = {
    "license_type": "which licences are permissive is left to whoever chooses by their ids",
    "snapshot_id": "the archive does not compute Software Heritage's snapshot ids",
    "github_id": "only GitHub's API knows it",
    "star_events_count": "only GH Archive knows it; `listings` in the archive has the stars that a forge showed last",
    "fork_events_count": "only GH Archive knows it",
    "gha_license_id": "only GH Archive knows it",
    "gha_event_created_at": "only GH Archive knows it",
    "gha_created_at": "only GH Archive knows it",
    "gha_language": "only GH Archive knows it",
}
"""Columns of The Stack v2 that a training set of ours lacks, and why."""
