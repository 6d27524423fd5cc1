"""The jobs in ``jobs/``, and files elsewhere: found by reading them, imported only to be run."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

import jobs
from pipeline.model.errors import UsageError
from pipeline.read.names import NAMES
from pipeline.read.submit.parameters import Parameters

MAIN, READS = "main", "READS"
"""The function that makes a module a job; modules without it are helpers. The tables that a job says it reads."""

SUFFIX = ".py"


class Job(Protocol):
    """What a job's module has. ``READS``, names of tables, may be missing, and so may ``main``'s parameters after the
    archive, which ``Parameters`` explains.
    """

    READS: Sequence[str]
    main: Callable[..., object]


class NoSuchJob(UsageError):
    """There is no such module in ``jobs/``, or no such file."""

    def __init__(self, job: str, known: Sequence[str]) -> None:
        super().__init__(job, tuple(known))
        self.job, self.known = job, tuple(known)

    def __str__(self) -> str:
        if self.job.endswith(SUFFIX):
            return f"{self.job} is not a Python file with a function main"
        return f"there is no job {self.job}; known jobs: {', '.join(self.known) or 'none'}"


class JobFailed(UsageError):
    """A job's own code failed. ``where`` is a place in that code."""

    def __init__(self, job: str, where: str, problem: str) -> None:
        super().__init__(job, where, problem)
        self.job, self.where, self.problem = job, where, problem

    def __str__(self) -> str:
        return f"job {self.job} failed at {self.where}: {self.problem}"


@dataclass(frozen=True, slots=True)
class FoundJob:
    """A job's name, which its result has too, and its module.

    Attributes:
        reads: the tables that it says it reads; None if it does not say.
        file: where it is, if it is not in ``jobs/``.
    """

    name: str
    module: ModuleType
    parameters: Parameters
    reads: frozenset[str] | None
    file: Path | None

    @property
    def description(self) -> str:
        """The docstring of its module, "" without one."""
        return inspect.getdoc(self.module) or ""

    def main(self, archive: object, words: Sequence[str]) -> object:
        """What its ``main`` returns.

        Raises:
            BadArguments: it does not take these words.
        """
        positional, named = self.parameters.arguments(words)
        return cast(Job, self.module).main(archive, *positional, **named)

    def place(self, error: BaseException) -> str:
        """The last place in its own code that an error passed, here or in a worker, or that Spark names."""
        files = [] if self.file is None else [str(self.file)]
        return own_place(error, files) or _told_place(error, files) or f"{self._shown}, its result"

    @property
    def _shown(self) -> str:
        return f"jobs/{self.name}.py" if self.file is None else str(self.file)


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
    """The source of a job; no other is read.

    Args:
        job: its name, or the path of a file that ends in ``.py``.

    Raises:
        NoSuchJob: there is no such job.
    """
    file = Path(job) if job.endswith(SUFFIX) else _modules().get(job)
    if file is None or not file.is_file() or _description(file) is None:
        raise NoSuchJob(job, job_names())
    return file.read_text("utf-8")


def find_job(job: str) -> FoundJob:
    """A job, imported.

    Args:
        job: its name, or the path of a file that ends in ``.py``.

    Raises:
        NoSuchJob: there is no such job.
        JobFailed: it cannot be imported, or its ``main`` or ``READS`` is none that can be used.
    """
    job_source(job)
    file = Path(job).resolve() if job.endswith(SUFFIX) else None
    name = job if file is None else file.stem
    try:
        module = importlib.import_module(f"jobs.{name}") if file is None else _import_file(name, file)
    except Exception as error:
        where = own_place(error, [] if file is None else [str(file)])
        raise JobFailed(name, where or "an unknown place", f"{type(error).__name__}: {error}") from error
    try:
        parameters = Parameters(name, getattr(module, MAIN))
        reads = _reads(getattr(module, READS, None))
    except (TypeError, ValueError) as error:
        raise JobFailed(name, f"jobs/{name}.py" if file is None else str(file), str(error)) from None
    return FoundJob(name, module, parameters, reads, file)


def _reads(said: object) -> frozenset[str] | None:
    if said is None:
        return None
    if isinstance(said, str) or not isinstance(said, Iterable):
        raise TypeError(f"{READS} must be a list of names of tables")
    unknown = sorted(str(name) for name in said if name not in NAMES)
    if unknown:
        raise ValueError(f"{READS} names {', '.join(unknown)}; known tables: {', '.join(sorted(NAMES))}")
    return frozenset(map(str, said))


def _import_file(name: str, file: Path) -> ModuleType:
    """The module in a file, under its bare name, by which executors import it too."""
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) != str(file):
        raise ImportError(f"another module has the name {name}; rename the file")
    if known is not None:
        return known
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # it ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def own_place(error: BaseException, files: Sequence[str] = ()) -> str:
    """The last place below ``jobs/``, or in some files, that an error passed, or was found in by Python's parser; "" if
    there is none.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}, line {error.lineno}"
    own = (*(str(Path(folder)) for folder in jobs.__path__), *files)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(own)]
    return f"{_shown(frames[-1].filename)}, line {frames[-1].lineno}, in {frames[-1].name}" if frames else ""


def _told_place(error: BaseException, files: Sequence[str]) -> str:
    """The last place below ``jobs/``, or in some files, in the text of an error: a worker's traceback, or the place
    where Spark says that a column was made.
    """
    own = "|".join([r"(?:[^\s\"]*/)?jobs/\w+\.py", *map(re.escape, files)])
    found = re.findall(rf'File "({own})", line (\d+), in (\S+)', str(error))
    if found:
        file, line, name = found[-1]
        return f"{_shown(file)}, line {line}, in {name}"
    made = re.search(rf"({own}):(\d+)", str(error))
    return f"{_shown(made[1])}, line {made[2]}" if made else ""


def _shown(filename: str) -> str:
    path = Path(filename)
    is_job = path.parent.name == "jobs" or str(path.parent) in {str(Path(folder)) for folder in jobs.__path__}
    return f"jobs/{path.name}" if is_job else filename


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
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
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
