"""This package and the jobs as one archive that executors and drivers elsewhere import from."""

from __future__ import annotations

import importlib.util
import tempfile
import zipfile
from functools import cache
from pathlib import Path

NAME = "git-lakehouse.zip"
PACKAGES = ("pipeline", "jobs")


@cache
def project_archive() -> Path:
    """The archive, made on first use; it is deleted when the process ends."""
    path = kept_folder() / NAME
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False) as archive:
        for package in PACKAGES:
            spec = importlib.util.find_spec(package)
            for place in (spec.submodule_search_locations or ()) if spec is not None else ():
                for file in sorted(Path(place).rglob("*")):
                    if file.is_file() and "__pycache__" not in file.parts:
                        archive.write(file, Path(package) / file.relative_to(place))
    return path


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="git-lakehouse-")


def kept_folder() -> Path:
    """A folder that is deleted when the process ends."""
    return Path(_kept().name)
