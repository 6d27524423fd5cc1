"""Python packages that a job brings: on this machine, and as executors and drivers elsewhere get them."""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.model.errors import ScratchFailed
from pipeline.tables.masters.project import kept_folder
from pipeline.tables.session import EXECUTOR_PATH, executor_path
from pipeline.tables.settings import SparkSettings

_ARCHIVES = "spark.archives"
_DRIVER_PATH = "spark.yarn.appMasterEnv.PYTHONPATH"


@dataclass(frozen=True, slots=True)
class Libraries:
    """Packages, with or without a Python of their own.

    Attributes:
        option: that of ``submit``; their folder is called so in the current folder of executors and drivers elsewhere.
        digest: names what they are; equal ones are the same files.
        folder: where they lie, unpacked.
        packages: the folder in it from which Python imports; "." for all of it.
        file: the same packed as ``.tar.gz``; None if they are still to be packed.
    """

    option: Literal["requirements", "environment"]
    digest: str
    folder: Path
    packages: str = "."
    file: Path | None = None

    @property
    def has_python(self) -> bool:
        """Whether they are an environment, whose ``bin/python`` executors run."""
        return self.option == "environment"

    @property
    def word(self) -> str:
        """How the lineage of a result names them."""
        return f"--{self.option}={self.digest}"

    @property
    def imports(self) -> Path:
        """The folder from which Python imports, on this machine."""
        return self.folder / self.packages

    def applied(self, settings: SparkSettings) -> SparkSettings:
        """Settings with which Spark ships them, and its Python workers use them."""
        base = self.folder if settings.local else Path(self.option)
        conf = dict(settings.conf)
        if self.has_python:
            conf["spark.pyspark.python"] = str(base / PYTHON) if settings.local else f"./{base / PYTHON}"
        else:
            conf[EXECUTOR_PATH] = os.pathsep.join([executor_path(settings), str(base / self.packages)])
        if not settings.local:
            mine = f"{(self.file or packed(self.folder)).absolute().as_uri()}#{self.option}"
            conf[_ARCHIVES] = ",".join([*filter(None, [conf.get(_ARCHIVES)]), mine])
        if settings.deploy_mode == "cluster" and not self.has_python:
            conf[_DRIVER_PATH] = os.pathsep.join([*filter(None, [conf.get(_DRIVER_PATH)]), str(base / self.packages)])
        return settings.model_copy(update={"conf": conf})


PYTHON = "bin/python"


def packed(folder: Path) -> Path:
    """A folder as ``.tar.gz``, which is deleted when the process ends.

    Raises:
        ScratchFailed: the temporary folder is full.
    """
    made = kept_folder() / f"{folder.name}.tar.gz"
    try:
        with tarfile.open(made, "w:gz", compresslevel=1) as archive:
            archive.add(folder, ".")
    except OSError as error:
        raise ScratchFailed(str(made), error.strerror or str(error)) from error
    return made
