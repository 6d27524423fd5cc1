"""The jobs in ``jobs/``: found by reading their files, imported only to be run."""

from __future__ import annotations

import ast
import importlib
import traceback
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from types import ModuleType

import jobs
from pipeline.errors import UsageError

MAIN = "main"
"""The function that makes a module a job; modules without it are helpers."""


class NoSuchJob(UsageError):
    """There is no such module in ``jobs/``."""

    def __init__(self, job: str, known: Sequence[str]) -> None:
        super().__init__(job, tuple(known))
        self.job, self.known = job, tuple(known)

    def __str__(self) -> str:
        return f"there is no job {self.job}; known jobs: {', '.join(self.known) or 'none'}"


class JobFailed(UsageError):
    """A job's own code failed. ``where`` is a place in that code."""

    def __init__(self, job: str, where: str, problem: str) -> None:
        super().__init__(job, where, problem)
        self.job, self.where, self.problem = job, where, problem

    def __str__(self) -> str:
        return f"job {self.job} failed at {self.where}: {self.problem}"


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job and its one-line description, the first line of its module's docstring."""

    name: str
    description: str


def list_jobs() -> list[JobInfo]:
    """All jobs, by name. Nothing is imported, so a broken file breaks only itself: its description says how."""
    return [JobInfo(name, found) for name, file in _modules().items() if (found := _description(file)) is not None]


def job_names() -> list[str]:
    """The names of all jobs, sorted."""
    return [job.name for job in list_jobs()]


def job_source(job: str) -> str:
    """The source of a job.

    Raises:
        NoSuchJob: there is no such job.
    """
    known = {name: file for name, file in _modules().items() if _description(file) is not None}
    if job not in known:
        raise NoSuchJob(job, sorted(known))
    return known[job].read_text("utf-8")


def import_job(job: str) -> ModuleType:
    """The module of a job.

    Raises:
        NoSuchJob: there is no such job.
        JobFailed: it cannot be imported.
    """
    job_source(job)
    try:
        return importlib.import_module(f"jobs.{job}")
    except Exception as error:
        raise JobFailed(job, own_place(error), f"{type(error).__name__}: {error}") from error


def own_place(error: BaseException) -> str:
    """The last place below ``jobs/`` that an error passed, or was found in by Python's parser."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}, line {error.lineno}"
    folders = tuple(str(Path(folder)) for folder in jobs.__path__)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(folders)]
    if not frames:
        return "an unknown place"
    return f"{_shown(frames[-1].filename)}, line {frames[-1].lineno}, in {frames[-1].name}"


def _shown(filename: str) -> str:
    return f"jobs/{Path(filename).name}"


def _modules() -> dict[str, Traversable]:
    """Modules in ``jobs/`` by name, sorted, except those whose names begin with an underscore."""
    files = [file for folder in reversed(jobs.__path__) for file in _folder(Path(folder)).iterdir()]
    found = {file.name.removesuffix(".py"): file for file in files if file.name.endswith(".py")}
    return {name: found[name] for name in sorted(found) if not name.startswith("_")}


def _folder(path: Path) -> Traversable:
    """A folder, which is inside the shipped archive if this process is a driver elsewhere."""
    return path if path.is_dir() else zipfile.Path(path.parent, f"{path.name}/")


def _description(file: Traversable) -> str | None:
    """The first line of a job's docstring, or why it cannot be read; None for a helper."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        return f"cannot be read: {error}"
    if not any(MAIN in _names(statement) for statement in tree.body):
        return None
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def _names(statement: ast.stmt) -> set[str]:
    """The names that a statement of a module defines or imports."""
    match statement:
        case ast.FunctionDef(name=name):
            return {name}
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {alias.asname or alias.name for alias in names}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
    return set()
