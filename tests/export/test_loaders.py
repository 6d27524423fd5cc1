"""Trainings with the real libraries: Hugging Face's ``datasets``, PyTorch's loader and the one of ``torchdata``.

They are of the extra ``training``, which is no part of ``test``: PyTorch and what it asks for are three gigabytes.
``pip install '.[training]'`` makes these tests run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.read.export.columns import ROWS
from pipeline.storage.local import LocalStorage
from tests.export.made_set import made_set

pytestmark = pytest.mark.filterwarnings("default")  # they are not ours to mend

EVERYTHING = [f"/{at:02}.py" for at in range(30)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_set(tmp_path_factory.mktemp("set"), shards=3, groups=2, rows=5)


def paths(batches: Iterator[dict[str, list[str]]]) -> list[str]:
    return [path for batch in batches for path in batch["path"]]


@pytest.mark.parametrize("workers", [0, 2, 4])
def test_a_loader_s_workers_read_each_row_once(folder: Path, workers: int) -> None:
    data = pytest.importorskip("torch.utils.data", reason="needs the extra training (torch)")
    from pipeline.read.export.torch_rows import TorchSetRows

    rows = TorchSetRows(LocalStorage(folder), seed=1)
    loader = data.DataLoader(rows, batch_size=4, num_workers=workers)
    first = paths(iter(loader))
    assert sorted(first) == EVERYTHING
    rows.epoch = 1
    second = paths(iter(loader))
    assert sorted(second) == EVERYTHING
    assert second != first


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_continues_after_a_stop(folder: Path, workers: int) -> None:
    pytest.importorskip("torch", reason="needs the extra training (torch)")
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="needs the extra training (torchdata)")
    from pipeline.read.export.torch_rows import TorchSetRows

    def loader() -> Any:
        rows = TorchSetRows(LocalStorage(folder), seed=1)
        return stateful.StatefulDataLoader(rows, batch_size=4, num_workers=workers)

    whole = paths(iter(loader()))
    stopped = loader()
    reading = iter(stopped)
    first = paths(next(reading) for _ in range(3))
    later = loader()
    later.load_state_dict(stopped.state_dict())
    assert first + paths(iter(later)) == whole
    assert sorted(whole) == EVERYTHING


def test_datasets_streams_an_export_and_continues_after_a_stop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="needs the extra training (datasets)")
    rows = datasets.load_dataset(str(folder), split="train", streaming=True)
    whole = [row["path"] for row in rows]
    assert whole == EVERYTHING
    assert list(next(iter(rows))) == ROWS.names
    reading = iter(rows)
    first = [next(reading)["path"] for _ in range(7)]
    again = datasets.load_dataset(str(folder), split="train", streaming=True)
    again.load_state_dict(rows.state_dict())
    assert first + [row["path"] for row in again] == whole


def test_datasets_in_a_loader_with_workers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="needs the extra training (datasets)")
    data = pytest.importorskip("torch.utils.data", reason="needs the extra training (torch)")
    rows = datasets.load_dataset(str(folder), split="train", streaming=True).select_columns(["path", "content"])
    assert sorted(paths(iter(data.DataLoader(rows, batch_size=4, num_workers=2)))) == EVERYTHING
