"""Rows for PyTorch's DataLoader. Needs torch, of the extra ``training``."""

from __future__ import annotations

from torch import distributed
from torch.utils.data import IterableDataset, get_worker_info

from pipeline.read.export.night_rows import NightRows
from pipeline.read.export.set_rows import SetRows
from pipeline.rules.epochs import Share


class _OfLoader:
    """Each worker of each rank reads its share, and each row is read once an epoch. Shares differ by one row group at
    most, so ranks may end at different rows.
    """

    @property
    def share(self) -> Share:
        """From the process group, if there is one, and from the loader."""
        ready = distributed.is_available() and distributed.is_initialized()
        rank, ranks = (distributed.get_rank(), distributed.get_world_size()) if ready else (0, 1)
        worker = get_worker_info()
        return Share(rank, ranks, worker.id, worker.num_workers) if worker else Share(rank, ranks)


class TorchRows(_OfLoader, NightRows, IterableDataset):  # type: ignore[misc]  # torch has no types here
    """The rows of a night for a DataLoader."""


class TorchSetRows(_OfLoader, SetRows, IterableDataset):  # type: ignore[misc]
    """The rows of an export for a DataLoader."""
