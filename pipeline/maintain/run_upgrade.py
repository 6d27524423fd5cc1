"""Upgrades an archive that an earlier version made to the format that this one writes."""

from __future__ import annotations

import logging
from functools import partial
from hashlib import sha256

from pipeline.context.archive import FORMAT, NoArchive, check_place, find_any_archive
from pipeline.context.run import hold
from pipeline.context.workplace import Workplace
from pipeline.model.layout import ARCHIVE
from pipeline.model.tables import ALL
from pipeline.read.inventory.ledger import Recorded, add_recording
from pipeline.tables.conflicts import until_committed
from pipeline.tables.create import upgrade_table

logger = logging.getLogger(__name__)


def run_upgrade(place: Workplace) -> int:
    """Upgrade the archive; leaves one of this format unchanged. May be called again after a kill at any point.

    Tables gain what they lack, without rewriting a row: rows of the earlier form stay readable, and those of an origin
    take the new form when its HEAD next moves. The archive changes its format last.

    Returns:
        The format that it had.

    Raises:
        NoArchive, ArchiveFormatUnknown, ArchiveIsCopy, ArchiveMoved: as they say.
        ArchiveHeld: another run holds the archive.
    """
    storage = place.storage
    info = find_any_archive(storage)
    if info is None:
        raise NoArchive(storage.root_uri)
    check_place(storage)
    if info.format < FORMAT:
        with hold(place, "upgrade") as run:
            writer = run.writer()
            for table in ALL:
                until_committed(table.name, partial(upgrade_table, writer, table, info.buckets))
            writer.check_lease()
            upgraded = info.model_copy(update={"format": FORMAT}).model_dump_json(indent=1).encode()
            # Recorded first: after a kill in between, the next call does both. Once replaced, it would do neither.
            add_recording(storage, [Recorded(ARCHIVE, len(upgraded), sha256(upgraded).digest(), upgraded)])
            storage.replace(ARCHIVE, upgraded)
        logger.info("the archive had format %d and has %d now", info.format, FORMAT)
    return info.format
