"""Where rows go: standard output, or a file that appears when it is complete."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

from pipeline.cli.output import Format
from pipeline.model.errors import UsageError

FORMATS: dict[str, Format] = {".csv": "csv", ".json": "json", ".parquet": "parquet"}
"""Formats by the suffix of a file."""


def format_of(wanted: Format, to: Path) -> Format:
    """The wanted format, or that of the file's suffix if none was asked for."""
    found = FORMATS.get(to.suffix.lower())
    if wanted == "text" and found is None:
        raise UsageError(f"{to} does not end in {', '.join(FORMATS)}; name its format with --output")
    return found if wanted == "text" and found is not None else wanted


@contextmanager
def place(to: Path | None) -> Iterator[IO[bytes]]:
    """A stream to write to: standard output, or a file that gets its name when it is complete.

    Devices and pipes are written to, not replaced; a link stays one.
    """
    if to is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    to = to.resolve()
    if to.exists() and not to.is_file():
        with _opened(to, to) as file:
            yield file
        return
    partial = to.with_name(f".{to.name}.{uuid4().hex}")
    try:
        with _opened(partial, to) as file:
            yield file
        os.replace(partial, to)
    finally:
        partial.unlink(missing_ok=True)


def _opened(partial: Path, to: Path) -> IO[bytes]:
    try:
        if to.is_dir():
            raise IsADirectoryError("it is a folder")
        return partial.open("wb")
    except OSError as error:
        raise UsageError(f"{to} cannot be written: {error.strerror or error}") from None
