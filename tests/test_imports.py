"""The layers of docs/architecture.md: libraries stay in their rooms, rooms import only rooms below them."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

LIBRARY_OF = MappingProxyType(
    {
        "click": ("pipeline/cli/",),
        "rich": ("pipeline/cli/",),
        "luigi": ("pipeline/workflows/",),
        "hdfs": ("pipeline/storage/",),
        "requests": ("pipeline/storage/",),
        "dulwich": ("pipeline/git/",),
        "urllib3": ("pipeline/git/", "pipeline/storage/"),
        "pyspark": (
            "pipeline/cli/doctor.py",
            "pipeline/read/api.py",
            "pipeline/read/opening.py",
            "pipeline/cli/origins.py",
            "pipeline/cli/query_progress.py",
            "pipeline/cli/rows.py",
            "pipeline/cli/shell.py",
            "pipeline/cli/sql.py",
            "pipeline/cli/submit.py",
            "pipeline/maintain/doctor/table_problems.py",
            "pipeline/read/export/choose.py",
            "pipeline/read/export/run_export.py",
            "pipeline/maintain/fsck/",
            "pipeline/maintain/",
            "pipeline/tables/masters/",
            "pipeline/night/",
            "pipeline/read/",
            "pipeline/read/submit/",
            "pipeline/tables/",
            "pipeline/maintain/takedown/",
            "pipeline/context/workplace.py",
            "jobs/",
        ),
        "py4j": ("pipeline/maintain/fsck/", "pipeline/tables/masters/", "pipeline/tables/"),
        "askalono": ("pipeline/night/licence.py",),
        "pygments": ("pipeline/night/language.py", "pipeline/night/language_guess.py"),
        "pyarrow": (
            "jobs/",
            "pipeline/cli/results.py",
            "pipeline/read/export/",
            "pipeline/fetch/",
            "pipeline/fetch/forges/",
            "pipeline/maintain/fsck/",
            "pipeline/read/inventory/",
            "pipeline/maintain/",
            "pipeline/model/listing.py",
            "pipeline/model/tables.py",
            "pipeline/night/",
            "pipeline/read/",
            "pipeline/tables/snapshot/",
            "pipeline/storage/parquet",
            "pipeline/storage/preparation.py",
            "pipeline/read/submit/exact_rows.py",
            "pipeline/read/submit/results.py",
            "pipeline/read/submit/stored_results.py",
            "pipeline/tables/",
            "pipeline/maintain/takedown/",
        ),
        "torch": ("pipeline/read/export/torch_rows.py",),
        "sqlglot": ("pipeline/read/duckdb_query.py", "pipeline/read/submit/statements.py"),
        "duckdb": ("pipeline/read/duckdb_query.py",),
        "pandas": ("pipeline/read/stored_archive.py",),
        "polars": ("pipeline/read/stored_archive.py",),
        "IPython": ("pipeline/cli/shell.py",),
        "packaging": ("pipeline/maintain/doctor/", "jobs/manifests.py"),
        "numpy": (
            "jobs/",
            "pipeline/read/export/",
            "pipeline/git/",
            "pipeline/maintain/",
            "pipeline/read/",
            "pipeline/rules/",
            "pipeline/tables/snapshot/",
            "pipeline/maintain/takedown/",
        ),
        "jinja2": ("pipeline/workflows/report.py",),
        "prometheus_client": ("pipeline/workflows/metrics/",),
        "isal": ("pipeline/git/pack_writer.py",),
        "backports": ("pipeline/fetch/page_compression.py",),
        "compression": ("pipeline/fetch/page_compression.py",),
        "tenacity": ("pipeline/storage/", "pipeline/workflows/"),
    }
)
"""Folders, or single modules, that may import a library; no others may."""

EVERYWHERE = ("pydantic", "pydantic_core", "_typeshed")
"""Records and settings, and names for type checkers."""

BELOW = MappingProxyType(
    {
        "model": (),
        "rules": ("model",),
        "storage": ("model",),
        "git": ("model", "rules"),
        "fetch": ("git", "model", "rules", "storage"),
        "tables": ("model", "rules", "storage"),
        "night": ("fetch", "model", "rules", "storage", "tables"),
        "context": ("fetch", "git", "model", "rules", "storage", "tables"),
        "read": ("context", "git", "model", "night", "rules", "storage", "tables"),
        "__init__": ("model", "read"),
        "maintain": ("context", "fetch", "model", "night", "read", "rules", "storage", "tables"),
        "workflows": ("context", "fetch", "maintain", "model", "night", "read", "rules", "storage", "tables"),
        "cli": (
            "context",
            "fetch",
            "maintain",
            "model",
            "night",
            "read",
            "rules",
            "storage",
            "tables",
            "workflows",
        ),
    }
)
"""What a room or a module of ``pipeline`` may import besides itself; each stands below all that it imports."""

INSIDE = (
    ("rules", "rules/simulate"),
    ("tables/masters", "tables/snapshot", "tables"),
    ("fetch/forges", "fetch"),
    ("read/inventory", "read", "read/export", "read/submit"),
    ("maintain/copy", "maintain/doctor", "maintain/fsck", "maintain/takedown", "maintain"),
    ("workflows", "workflows/metrics"),
)
"""Rooms with rooms inside: each of these may import those before it."""

READS_ENVIRONMENT = (
    "pipeline/cli/",
    "pipeline/tables/session.py",
    "pipeline/tables/python_daemon.py",
    "pipeline/__init__.py",
)
"""The others only set variables for PySpark and Arrow, which read them nowhere else."""


class Import(NamedTuple):
    """One import, anywhere in a module."""

    path: str
    line: int
    module: str


def sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("pipeline", "jobs"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def imports() -> Iterator[Import]:
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (Import(path, node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: relative import"
                assert node.module is not None
                yield Import(path, node.lineno, node.module)


def room(path: str) -> str:
    """The room of a module of ``pipeline``, by its path; a module at the top is its own room."""
    return path.split("/")[1].removesuffix(".py")


def test_every_library_stays_in_its_rooms() -> None:
    strays = []
    for found in imports():
        library = found.module.partition(".")[0]
        if library in ("pipeline", "jobs", *EVERYWHERE) or library in sys.stdlib_module_names:
            continue
        if not found.path.startswith(LIBRARY_OF.get(library, ())):
            strays.append(f"{found.path}:{found.line} imports {found.module}")
    assert strays == []


def test_every_room_has_use_of_its_libraries() -> None:
    used = {(found.module.partition(".")[0], found.path) for found in imports()}
    idle = [
        (library, place)
        for library, places in LIBRARY_OF.items()
        for place in places
        if not any(name == library and path.startswith(place) for name, path in used)
    ]
    assert idle == []


def test_rooms_import_only_what_is_below_them() -> None:
    strays = []
    for found in imports():
        if not found.path.startswith("pipeline/") or not found.module.startswith("pipeline."):
            continue
        here, there = room(found.path), found.module.split(".")[1]
        if there not in (here, *BELOW[here]):
            strays.append(f"{found.path}:{found.line} imports {found.module}")
    assert strays == []


def test_only_the_command_line_reads_the_environment() -> None:
    strays = []
    for path, tree in sources():
        for node in ast.walk(tree):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            imported = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            if {name, *imported} & {"environ", "environb", "getenv", "getenvb"} and not path.startswith(
                READS_ENVIRONMENT
            ):
                strays.append(f"{path}:{node.lineno}")  # type: ignore[attr-defined]
    assert strays == []


def test_the_session_writes_one_variable_and_reads_none() -> None:
    tree = ast.parse((ROOT / "pipeline/tables/session.py").read_text())
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "environ"]
    written = [
        target.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Subscript) and target.value in uses and isinstance(target.slice, ast.Constant)
    ]
    assert written == ["PYSPARK_PYTHON"]
    assert len(uses) == 1


def test_rooms_stand_in_one_order() -> None:
    for number, (name, below) in enumerate(BELOW.items()):
        assert set(below) <= set(list(BELOW)[:number]), f"{name} imports what stands above it"


def inner_room(path: str) -> str:
    """The folder of a module below ``pipeline``."""
    return path.removeprefix("pipeline/").rpartition("/")[0]


@pytest.mark.parametrize("order", INSIDE, ids=lambda order: order[-1].partition("/")[0])
def test_rooms_inside_a_room_stand_in_one_order(order: tuple[str, ...]) -> None:
    strays = []
    for found in imports():
        mine = inner_room(found.path)
        there = found.module.replace(".", "/")
        theirs = inner_room(f"{there}/" if (ROOT / there).is_dir() else there)
        if mine in order and theirs in order and order.index(theirs) > order.index(mine):
            strays.append(f"{found.path}:{found.line} imports {found.module}")
    assert strays == []


def test_every_room_inside_a_room_has_its_place() -> None:
    inner = {inner_room(path) for path, _ in sources() if path.startswith("pipeline/") and path.count("/") > 2}
    assert inner == {name for order in INSIDE for name in order if "/" in name}


def test_modules_do_not_import_each_other_in_circles() -> None:
    modules = {path.removesuffix(".py").replace("/", ".") for path, _ in sources()}
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for found in imports():
        if found.module in modules:
            graph[found.path.removesuffix(".py").replace("/", ".")].add(found.module)
    TopologicalSorter(graph).prepare()


def test_every_module_is_seen() -> None:
    """The rules above hold for something: the walk finds modules in every room."""
    assert {room(path) for path, _ in sources() if path.startswith("pipeline/")} == BELOW.keys()
    assert len(list(imports())) > 300


def test_every_python_file_has_its_ending() -> None:
    """Ruff and mypy see no others."""
    firsts = {path.name: path.read_text().partition("\n")[0] for path in (ROOT / "scripts").glob("*") if path.is_file()}
    assert [name for name, line in firsts.items() if "python" in line and not name.endswith(".py")] == []
    assert firsts["setup"] == "#!/usr/bin/env bash"


@pytest.mark.parametrize("name", ["dulwich._pack", "dulwich._objects"])
def test_dulwich_has_its_compiled_parts(name: str) -> None:
    """Without them everything works, ten times slower."""
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert module.__file__.endswith(tuple(EXTENSION_SUFFIXES))


def test_dulwich_uses_its_compiled_parts() -> None:
    pack, compiled = importlib.import_module("dulwich.pack"), importlib.import_module("dulwich._pack")
    assert pack.apply_delta is compiled.apply_delta


UNLEASED = (
    "pipeline/night/origins.py",
    "pipeline/night/opt_outs.py",
    "pipeline/night/standing.py",
    "pipeline/read/submit/results.py",
    "pipeline/tables/create.py",
    "pipeline/tables/tombstones.py",
)
"""Modules that write what may change while somebody else holds the archive."""


def test_only_what_needs_no_lease_writes_without_one() -> None:
    users = {
        path
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and any(alias.name == "unleased" for alias in node.names)
    }
    assert users == set(UNLEASED)


def commits(function: ast.FunctionDef, *, inside: bool = False) -> Iterator[ast.Call]:
    """Calls of Iceberg's API in a function that commit, and are not inside ``committing``."""
    todo: list[tuple[ast.AST, bool]] = [(function, inside)]
    while todo:
        node, held = todo.pop()
        if isinstance(node, ast.With):
            held = held or any("committing()" in ast.unparse(item) for item in node.items)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not held:
            part_of_transaction = node.func.attr == "commit" and "transaction." in ast.unparse(function)
            if node.func.attr in ("commit", "commitTransaction") and not part_of_transaction:
                yield node
        todo += [(child, held) for child in ast.iter_child_nodes(node)]


def test_every_commit_is_made_inside_committing() -> None:
    strays, seen = [], 0
    for path, tree in sources():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                seen += ast.unparse(function).count("commit()")
                strays += [f"{path}:{call.lineno}" for call in commits(function)]
    assert strays == []
    assert seen > 10
