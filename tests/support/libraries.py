"""Packages that no index has: wheels, and an environment packed as venv-pack does it."""

from __future__ import annotations

import site
import tarfile
import venv
import zipfile
from pathlib import Path


def wheel(folder: Path, name: str, version: str, code: str, *needs: str) -> Path:
    """A wheel with one package of one module in a folder, where ``--find-links`` finds it."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{name}-{version}-py3-none-any.whl"
    metadata = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in needs)]
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(f"{name}/__init__.py", code)
        info = f"{name}-{version}.dist-info"
        archive.writestr(f"{info}/METADATA", "\n".join(["Metadata-Version: 2.1", *metadata, ""]))
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return made


def requirements(file: Path, wheels: Path, *lines: str) -> Path:
    """A requirements file, for packages in a folder alone; ``lines`` begin at line 3."""
    file.write_text("\n".join(["--no-index", f"--find-links {wheels}", *lines, ""]))
    return file


def environment(folder: Path, name: str, code: str, *, base: str = "") -> Path:
    """A packed environment with this installation's packages, seen through a link, and one module of its own."""
    made = folder / "environment"
    venv.EnvBuilder(symlinks=True).create(made)
    (packages,) = made.glob("lib/python*/site-packages")
    (packages / "installation.pth").write_text("\n".join(site.getsitepackages()))
    (packages / f"{name}.py").write_text(code)
    if base:
        packages.parent.rename(packages.parent.with_name(base))
    file = folder / "environment.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        archive.add(made, ".")
    return file
