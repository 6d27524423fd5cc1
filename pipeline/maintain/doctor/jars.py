"""The jars that Spark starts with."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.maintain.doctor.finding import Finding, machine_failure, ok, warning


def check_jars(jars: str | None, packages: str | None, ivy: Path) -> Iterator[Finding]:
    """Check that jars given by path exist and are intact; those given by coordinates are downloaded at the next start.

    Args:
        jars: comma-separated paths, as in ``spark.jars``; those on other storage are skipped.
        packages: Maven coordinates, as in ``spark.jars.packages``.
        ivy: their download folder.
    """
    for jar in filter(None, (jars or "").split(",")):
        path = Path(jar.strip().removeprefix("file://"))
        if "://" in str(jar) and not jar.strip().startswith("file://"):
            continue
        if not path.is_file():
            yield machine_failure("jars", f"{path} does not exist", "correct spark.jars in the configuration")
        elif not zipfile.is_zipfile(path) or _broken(path):
            yield machine_failure("jars", f"{path} is damaged", "delete it: the next start downloads it again")
        else:
            yield ok("jars", path.name)
    if packages:
        yield warning(
            "jars",
            f"{packages} is not in {ivy} yet",
            "Spark downloads it when it starts; run scripts/setup where there is a network",
        )


def _broken(path: Path) -> bool:
    """Whether its table of contents is damaged: reading the whole jar would take a second."""
    try:
        with zipfile.ZipFile(path) as jar:
            return not jar.namelist()
    except (OSError, zipfile.BadZipFile):
        return True
