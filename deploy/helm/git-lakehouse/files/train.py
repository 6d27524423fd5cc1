"""Trains a small model of the bytes of code on a set that ``pipeline export`` wrote: a pattern for one's own.

It reads the set with the pipeline's own loader, goes on from its last checkpoint, and writes one when it is asked to
end.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torchdata.stateful_dataloader import StatefulDataLoader

from pipeline.context.config import load_config
from pipeline.read.export.torch_rows import TorchSetRows
from pipeline.storage.factory import open_storage

WIDTH = 256
"""Bytes of a sample, which are predicted one by one."""


class Bytes(nn.Module):
    """Predicts the next byte from those before it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.known = nn.Embedding(256, size)
        self.memory = nn.GRU(size, size, num_layers=2, batch_first=True)
        self.next = nn.Linear(size, 256)

    def forward(self, read: torch.Tensor) -> torch.Tensor:
        """Of each byte, how likely each of the 256 is to follow."""
        return self.next(self.memory(self.known(read))[0])


def samples(rows: list[dict[str, str]]) -> torch.Tensor:
    """The first bytes of each text, as many as are learned at once; shorter texts are filled with zeros."""
    texts = [row["content"].encode()[: WIDTH + 1].ljust(WIDTH + 1, b"\0") for row in rows]
    return torch.frombuffer(bytearray(b"".join(texts)), dtype=torch.uint8).view(len(texts), WIDTH + 1).long()


def arguments() -> argparse.Namespace:
    """The words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", help="folder or hdfs:// URL of the export")
    parser.add_argument("--config", type=Path, help="the pipeline's configuration, which says how to reach HDFS")
    parser.add_argument("--output", type=Path, default=Path("/output"))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=int, default=500, help="batches from one checkpoint to the next")
    return parser.parse_args()


def main() -> None:
    """Train, from the last checkpoint on."""
    asked = arguments()
    storage = open_storage(asked.set, load_config(asked.config).hdfs if asked.config else None)
    rows = TorchSetRows(storage, ("content",), seed=1)
    loader = StatefulDataLoader(rows, batch_size=asked.batch, num_workers=asked.workers, collate_fn=samples)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Bytes(asked.size).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    checkpoint = asked.output / "checkpoint.pt"
    done = {"epoch": 0, "batches": 0}
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
        if state["loader"] is not None:
            loader.load_state_dict(state["loader"])

    asked_to_end = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked_to_end.append(number))

    def save(where: dict[str, object] | None) -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": done, "loader": where}
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").rename(checkpoint)

    began, seen = time.monotonic(), 0
    while done["epoch"] < asked.epochs:
        rows.epoch = done["epoch"]
        for batch in loader:
            read, wanted = batch[:, :-1].to(device), batch[:, 1:].to(device)
            loss = nn.functional.cross_entropy(model(read).flatten(0, 1), wanted.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done["batches"] += 1
            seen += read.numel()
            if done["batches"] % asked.every == 0 or asked_to_end:
                report = {**done, "loss": loss.item(), "bytes_per_second": seen / (time.monotonic() - began)}
                sys.stdout.write(json.dumps(report) + "\n")
                sys.stdout.flush()
                save(loader.state_dict())
            if asked_to_end:
                raise SystemExit(128 + asked_to_end[0])
        done["epoch"] += 1
        save(None)
    sys.stdout.write(json.dumps({**done, "bytes": seen, "device": device}) + "\n")


if __name__ == "__main__":
    main()
