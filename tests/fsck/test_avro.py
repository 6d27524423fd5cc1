"""Our Avro reader on files that Iceberg wrote, and on damaged bytes."""

from __future__ import annotations

import random

import pytest

from pipeline.tables.snapshot.avro import AvroDamaged, read_avro
from tests.fsck.conftest import Story


@pytest.mark.slow
def test_any_flip_gives_records_or_says_that_the_file_is_damaged(story: Story) -> None:
    chance = random.Random(5)
    for path in chance.sample(story.files("tables/code/*/metadata/*.avro"), 6):
        data = path.read_bytes()
        read_avro(data)
        for _ in range(200):
            bit = chance.randrange(8 * len(data))
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            try:
                read_avro(bytes(changed))
            except AvroDamaged:
                continue
        for end in range(0, len(data), max(len(data) // 50, 1)):
            if end > 4 and not data[:end].endswith(data[-16:]):  # a file may end where its header or a block does
                with pytest.raises(AvroDamaged):
                    read_avro(data[:end])


@pytest.mark.parametrize("data", [b"", b"Obj\x01", b"PAR1", b"Obj\x01" + b"\xff" * 40, b"Obj\x01" + b"\0" * 40])
def test_no_avro(data: bytes) -> None:
    with pytest.raises(AvroDamaged):
        read_avro(data)
