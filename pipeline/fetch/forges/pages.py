"""Pages of a listing on the storage: each is a Parquet file that also says how to go on after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from pipeline.fetch.forges.cursor import Batch, Cursor
from pipeline.fetch.forges.errors import ListedTwice
from pipeline.model.layout import ForgePass
from pipeline.model.listing import PAGE, Listing
from pipeline.storage.errors import AlreadyThere, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import SealedWriter, open_parquet_file
from pipeline.storage.paths import is_temporary

_PROGRESS = b"pipeline.progress"


class Progress(BaseModel):
    """How far a pass has come.

    ``next``: the page to ask for, None when the pass is over; ``pages``: those written; ``listed``: repositories, one
    that was on two pages twice; ``bad``: items that could not be used, by reason; ``skipped``: how often something was
    passed over because no page with it could be read; ``whole``: False if the forge gave less than it said;
    ``highest``: the largest id; ``idle``: pages since the last one with a repository;
    ``late``: hours of events that the next pass asks for again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    next: Cursor | None
    pages: int = 0
    listed: int = 0
    bad: dict[str, int] = {}
    skipped: int = 0
    whole: bool = True
    highest: int = 0
    idle: int = 0
    late: tuple[int, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything was listed."""
        return self.next is None and self.whole and not self.skipped

    def past(self, skipped: int, batch: Batch) -> Progress:
        """The progress after one more page."""
        return Progress(
            next=batch.next,
            pages=self.pages + 1,
            listed=self.listed + len(batch.listings),
            bad=dict(sorted((Counter(self.bad) + Counter(batch.bad)).items())),
            skipped=self.skipped + skipped,
            whole=self.whole and batch.whole,
            highest=max(self.highest, batch.highest),
            idle=0 if batch.listings else self.idle + 1,
            late=self.late + batch.late,
        )


def write_page(
    storage: Storage, scratch: Path, place: ForgePass, slice_: int, listings: Sequence[Listing], progress: Progress
) -> None:
    """Write a page. Once it is there, the listing goes on after it, whatever happens.

    Args:
        progress: after this page.

    Raises:
        ListedTwice: another process writes pages of the same pass.
    """
    rows = [(*listing, progress.pages) for listing in listings]
    columns = zip(*rows, strict=True) if rows else [()] * len(PAGE.columns)
    arrays = [pa.array(values, column.type) for values, column in zip(columns, PAGE.columns, strict=True)]
    schema = PAGE.arrow_schema.with_metadata({_PROGRESS: progress.model_dump_json().encode()})
    path = place.page(slice_, progress.pages)
    local = scratch / path.rpartition("/")[2]
    try:
        with SealedWriter(local, schema, compression="zstd") as writer:
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        storage.upload(local, path)
    except AlreadyThere:
        raise ListedTwice(place.forge) from None
    finally:
        local.unlink(missing_ok=True)


def last_progress(storage: Storage, place: ForgePass, slice_: int) -> Progress | None:
    """The progress after the last page of a slice; None before the first.

    Raises:
        StoredFileDamaged: that page cannot be read.
    """
    pages = [entry.path for entry in storage.list(place.pages(slice_)) if not is_temporary(entry.path)]
    if not pages:
        return None
    with open_parquet_file(storage, pages[-1]) as file:
        said = (file.schema_arrow.metadata or {}).get(_PROGRESS)
    try:
        return Progress.model_validate_json(said or b"")
    except ValueError as error:
        raise StoredFileDamaged(pages[-1], "it does not say how to go on") from error
