"""A packed environment, as venv-pack and conda-pack make it."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import tarfile
from pathlib import Path

from pipeline.model.errors import ScratchFailed, UsageError
from pipeline.tables.libraries import PYTHON, Libraries
from pipeline.tables.masters.project import kept_folder


class BadEnvironment(UsageError):
    """A file is no packed environment that this Python can work with."""

    def __init__(self, file: str, problem: str) -> None:
        super().__init__(file, problem)
        self.file, self.problem = file, problem

    def __str__(self) -> str:
        return f"{self.file} {self.problem}; pack one with venv-pack or conda-pack"


def unpacked(file: Path) -> Libraries:
    """An environment on this machine, deleted when the process ends. The digest is that of the file.

    Raises:
        BadEnvironment: it is no ``.tar.gz``, has no ``bin/python``, or another version of Python than this process.
        ScratchFailed: the temporary folder is full.
    """
    if not file.name.endswith((".tar.gz", ".tgz")):
        raise BadEnvironment(str(file), "is no .tar.gz")
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    folder = kept_folder() / f"environment-{digest}"
    try:
        with tarfile.open(file) as archive:
            archive.extraction_filter = getattr(tarfile, "tar_filter", lambda member, path: member)  # Pythons without
            archive.extractall(folder)  # noqa: S202 - what is run anyway, and inside the folder
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ScratchFailed(str(folder), os.strerror(error.errno)) from error
        raise BadEnvironment(str(file), f"cannot be unpacked: {error}") from None
    if not (folder / PYTHON).exists():
        raise BadEnvironment(str(file), f"has no {PYTHON}")
    packages = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    if not (folder / packages).is_dir():
        raise BadEnvironment(str(file), f"has no {packages}, and Spark needs one Python everywhere")
    return Libraries("environment", digest, folder, packages, file)
