"""How fast a training set is read, against its contents in a tar: ``python scripts/set_speed.py FOLDER``.

FOLDER is a complete export in Parquet. Each reader goes through all of it once and counts the characters of its texts;
MB are raw bytes of contents. CPU seconds are those of the process and its workers. Needs the extra ``training``.
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
from torch.utils.data import DataLoader

from pipeline.read.export.set_rows import SetRows
from pipeline.read.export.torch_rows import TorchSetRows
from pipeline.storage.local import LocalStorage

COLUMNS = ("path", "content")
BATCH = 64


def pack(rows: SetRows, to: Path) -> None:
    """Write all contents to a tar, each as a file."""
    with tarfile.open(to, "w") as tar:
        for number, row in enumerate(rows):
            data = row["content"].encode()
            info = tarfile.TarInfo(f"{number}{Path(row['path']).suffix}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def from_tar(path: Path) -> Iterable[str]:
    """All texts of a tar."""
    with tarfile.open(path) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            yield file.read().decode()


def from_rows(rows: Iterable[dict[str, Any]]) -> Iterable[str]:
    """The texts of rows."""
    for row in rows:
        yield row["content"]


def from_batches(batches: Iterable[dict[str, Any]]) -> Iterable[str]:
    """The texts of a loader's batches."""
    for batch in batches:
        yield from batch["content"]


def main(folder: str) -> None:
    """Print a line for each reader."""
    storage = LocalStorage(Path(folder))
    streamed = datasets.load_dataset(folder, split="train", streaming=True)

    def loader(rows: Any, workers: int) -> Iterable[str]:  # noqa: ANN401 - of two libraries
        return from_batches(DataLoader(rows, batch_size=BATCH, num_workers=workers))

    with TemporaryDirectory() as scratch:
        tar = Path(scratch, "set.tar")
        pack(SetRows(storage, COLUMNS), tar)
        readers: dict[str, Callable[[], Iterable[str]]] = {
            "tar": lambda: from_tar(tar),
            "SetRows": lambda: from_rows(SetRows(storage, COLUMNS)),
            "datasets, all columns": lambda: from_rows(streamed),
            "datasets, two columns": lambda: from_rows(streamed.select_columns(list(COLUMNS))),
            "DataLoader of TorchSetRows, 2 workers": lambda: loader(TorchSetRows(storage, COLUMNS), 2),
            "DataLoader of datasets, 2 workers": lambda: loader(streamed.select_columns(list(COLUMNS)), 2),
        }
        base = 0.0
        for name, reader in readers.items():
            began, cpu = time.monotonic(), cpu_s()
            size = sum(map(len, reader()))
            spent, elapsed = cpu_s() - cpu, time.monotonic() - began
            base = base or size / spent
            print(
                f"{name:40} {size / 1e6 / spent:6.0f} MB per CPU second ({size / spent / base:.2f} of the tar), "
                f"{size / 1e6 / elapsed:6.0f} MB/s",
                flush=True,
            )


def cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main(sys.argv[1])
