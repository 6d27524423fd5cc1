"""The jars that Spark is started with."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.doctor.finding import Finding, machine_failure, ok, warning


def check_jars(jars: str | None, packages: str | None, ivy: Path) -> Iterator[Finding]:
    """Jars by path must be there and whole; those by coordinate are downloaded at the next start.

    Args:
        jars: comma-separated paths, as ``spark.jars``; those on other storage are passed over.
        packages: Maven coordinates, as ``spark.jars.packages``.
        ivy: where they would go.
    """
    for jar in filter(None, (jars or "").split(",")):
        path = Path(jar.strip().removeprefix("file://"))
        if "://" in str(jar) and not jar.strip().startswith("file://"):
            continue
        if not path.is_file():
            yield machine_failure("jars", f"{path} is not there", "correct spark.jars in the configuration")
        elif not zipfile.is_zipfile(path) or _broken(path):
            yield machine_failure("jars", f"{path} is damaged", "delete it: it is downloaded again at the next start")
        else:
            yield ok("jars", path.name)
    if packages:
        yield warning(
            "jars",
            f"{packages} is not at {ivy} yet",
            "it is downloaded when Spark starts; scripts/setup does so where there is a network",
        )


def _broken(path: Path) -> bool:
    """By its table of contents: to read all of it would take a second."""
    try:
        with zipfile.ZipFile(path) as jar:
            return not jar.namelist()
    except (OSError, zipfile.BadZipFile):
        return True
