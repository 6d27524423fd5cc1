"""Named moments of a run: before or after one call of a function, patched where its caller looks it up."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.tables import change

REACHED = "the point is reached"


def always(*arguments: Any) -> bool:
    return True


def path_has(part: str) -> Callable[..., bool]:
    """For methods of storage that take ``(self, source, path, ...)``."""
    return lambda storage, source, path, *rest: part in path


def table_is(name: str) -> Callable[..., bool]:
    """For methods of ``IcebergTable``."""
    return lambda table, *rest: table.name.endswith(f".{name}")


@dataclass(frozen=True)
class Point:
    """A moment.

    Attributes:
        where: ``module:function``, by the module that calls it, or ``module:Class.method``.
        calls: number of calls to ignore first.
        after: act after the call's work, not before.
        when: whether a call counts, given its positional arguments.
        by_row: change derived tables by row, as large ones are.
    """

    where: str
    calls: int = 0
    after: bool = False
    when: Callable[..., bool] = always
    by_row: bool = False

    def arm(self, act: Callable[[], None]) -> None:
        """Make this process and its forks act at this point. Each process counts its own calls."""
        if self.by_row:
            change.MOST_WRITTEN = 0
        module, _, path = self.where.partition(":")
        holder: Any = importlib.import_module(module)
        *outer, name = path.split(".")
        for part in outer:
            holder = getattr(holder, part)
        real: Callable[..., Any] = getattr(holder, name)
        left = self.calls

        @functools.wraps(real)
        def watched(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= self.when(*arguments)
            now = left == -1 and self.when(*arguments)
            if now and not self.after:
                act()
            done = real(*arguments, **options)
            if now and self.after:
                act()
            return done

        setattr(holder, name, watched)


def die() -> None:
    """Kill the whole process group, including this process."""
    os.killpg(os.getpgid(0), signal.SIGKILL)


def hold() -> None:
    """Report on standard output that the point is reached, and wait for a line on standard input. Not in a fork."""
    print(REACHED, flush=True)
    sys.stdin.readline()


LAND = "pipeline.storage.hdfs:HdfsStorage._land"
APPEND = "pipeline.tables.iceberg:IcebergTable.append_files"
PUBLISH_STAGED = "pipeline.tables.iceberg:IcebergTable.publish_staged"
TAG = "pipeline.tables.iceberg:IcebergTable.create_tag"

NIGHTLY = {
    "plan: one of its two folders is written": Point("pipeline.night.plan:_write", after=True),
    "plan: complete": Point("pipeline.workflows.plan_load:write_plan", after=True),
    "fetch: while a pack arrives": Point("pipeline.git.exchange:_Spool.write", after=True),
    "fetch: decoded, nothing is uploaded": Point("pipeline.fetch.bucket:_upload"),
    "fetch: uploaded, not renamed": Point(LAND, when=path_has("/landing/")),
    "fetch: before the manifest": Point("pipeline.fetch.bucket:_write_manifest"),
    "fetch: the manifest is written, not renamed": Point(LAND, when=path_has("/manifests/")),
    "fetch: after the first bucket's manifest": Point("pipeline.fetch.bucket:_write_manifest", after=True),
    "publish: the decision is written": Point("pipeline.night.publish:decide", after=True),
    "publish: some files are moved": Point("pipeline.night.landed:_move", calls=3),
    "publish: all files are moved": Point("pipeline.night.publish:move", after=True),
    "publish: after the commit of contents": Point(APPEND, after=True, when=table_is("contents")),
    "publish: after the commit of visits": Point(APPEND, after=True, when=table_is("visits")),
    "publish: the change of origins is staged": Point(PUBLISH_STAGED, when=table_is("origins"), by_row=True),
    "publish: after the commit of origins": Point("pipeline.night.publish:apply_visits", after=True),
    "derive: trees are marked": Point("pipeline.night.files:promote_trees", after=True),
    "derive: the change of files is staged": Point(PUBLISH_STAGED, when=table_is("files"), by_row=True),
    "derive: after the commit of files": Point("pipeline.night.derive:replace_files", after=True),
    "derive: contents are marked": Point("pipeline.night.blobs:_promote_contents", after=True),
    "derive: after the commit of head_blobs": Point("pipeline.night.derive:replace_head_blobs", after=True),
    "derive: the change of repositories is staged": Point(PUBLISH_STAGED, when=table_is("repositories"), by_row=True),
    "derive: after the commit of repositories": Point("pipeline.night.derive:replace_repositories", after=True),
    "seal: all but origins have their tag": Point(TAG, when=table_is("origins")),
    "jobs: sealed, no job has run": Point("pipeline.workflows.night:run_job"),
    "jobs: the result is stored, its lineage is not": Point("pipeline.read.submit.results:_record"),
    "the night lacks nothing but its summary": Point("pipeline.workflows.night:summarize"),
}
"""Points in the order in which a night reaches them; those with the same words before the colon stand together.

Of moments that leave the same to the next run, here is one: after the commits of the first and of the last table, say.
"""

BACKFILL = {
    "backfill: a batch is begun and not planned": Point("pipeline.workflows.backfill_origins:begin_batch", after=True),
    "backfill: origins are added, no plan is written": Point("pipeline.workflows.backfill_batch:write_plan"),
    "backfill: between two batches": Point("pipeline.workflows.backfill_origins:summarize", after=True),
    "backfill: a batch is published and not derived": Point("pipeline.workflows.night:derive", calls=1),
}

MAINTAIN = {
    "maintain: half swept": Point("pipeline.maintain.run_maintain:remove", calls=1),
    "maintain: swept, tags are as they were": Point("pipeline.maintain.run_maintain:apply_nights"),
    "maintain: some tables have lost a tag": Point("pipeline.tables.maintained:MaintainedTable.rename_tags", calls=4),
    "maintain: tags are gone, snapshots are not": Point("pipeline.tables.maintained:MaintainedTable.expire"),
    "maintain: snapshots are gone, files are not": Point(
        "pipeline.tables.maintained:MaintainedTable.expire", after=True, when=table_is("files")
    ),
    "maintain: some files are deleted": Point("pipeline.tables.maintained:MaintainedTable.delete_files", calls=4),
}

COMPACT = {
    "maintain: a bucket is cut, no piece is begun": Point("pipeline.maintain.compact:_Run._give_out"),
    "maintain: a bucket is rewritten, not committed": Point("pipeline.tables.maintained:MaintainedTable.replace_files"),
    "maintain: one bucket is compacted": Point("pipeline.tables.maintained:MaintainedTable.replace_files", after=True),
}

BRANCHED = "pipeline.maintain.fsck.branches:BranchedTable"

REPAIR = {
    "repair: copies are put back": Point("pipeline.maintain.fsck.run_fsck:put_back", after=True),
    "repair: a table has a branch without its damaged file": Point(f"{BRANCHED}.begin", after=True),
    "repair: rows are fetched again and uploaded, not registered": Point(f"{BRANCHED}.add", calls=1),
    "repair: one table is whole, the others are not": Point(f"{BRANCHED}.become_current", after=True),
    "repair: tables are whole, nights are not": Point(f"{BRANCHED}.become_tags"),
    "repair: one night of one table is whole": Point(f"{BRANCHED}.become_tags", after=True),
    "repair: derived tables are emptied": Point("pipeline.maintain.fsck.repair_derived:derive_all_fit"),
}

UPGRADE = {
    "upgrade: a table has its columns, no snapshot shows them": Point(
        "pipeline.tables.create:_show_columns", when=lambda writer, table: table.name == "files"
    ),
    "upgrade: some tables are upgraded": Point("pipeline.maintain.run_upgrade:upgrade_table", calls=7, after=True),
    "upgrade: the format is recorded, not written": Point("pipeline.maintain.run_upgrade:add_recording", after=True),
}

BESIDES = {**BACKFILL, **MAINTAIN, **COMPACT, **REPAIR, **UPGRADE}
"""Points of everything but a night."""

HELD = {
    "publish: before the first move": Point("pipeline.night.publish:move"),
    "publish: before the commit of refs": Point(APPEND, when=table_is("refs")),
    "derive: before the commit of files": Point("pipeline.night.files:change_rows"),
}
"""Points at which something else dies."""

POINTS = {**NIGHTLY, **BESIDES, **HELD}
