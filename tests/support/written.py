"""All that commands print and write, as text in which something can be looked for."""

from __future__ import annotations

import contextlib
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq


@dataclass
class Written:
    """Everything that was printed and written, by name."""

    texts: dict[str, str] = field(default_factory=dict)

    def folder(self, root: Path) -> None:
        for path in root.rglob("*"):
            if not path.is_file():
                continue
            data = path.read_bytes()
            self.texts[str(path)] = data.decode("latin-1")
            if path.suffix == ".parquet":
                self.texts[f"{path}, rows"] = repr(pq.read_table(path, partitioning=None).to_pylist())
            if path.suffix == ".avro":
                self.texts[f"{path}, inflated"] = _inflated(data)


def _inflated(avro: bytes) -> str:
    """The contents of an Avro file's blocks: each is between two markers, after two numbers."""
    mark, found = avro[-16:], []
    for block in avro.split(mark):
        for skipped in range(min(len(block), 12)):
            with contextlib.suppress(zlib.error):
                found.append(zlib.decompressobj(-15).decompress(block[skipped:]).decode("latin-1"))
                break
    return "".join(found)
