"""A whole night of all hostile origins with honest ones among them, from the command line; then another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.fetch.crew import GROWN_BYTES
from pipeline.git.limits import MIB
from tests.e2e.archive import Archive, Place, night
from tests.git.packs import everything
from tests.hostile.all import REPOSITORIES, SERVERS
from tests.hostile.spec import LIMITS, TIMEOUT, Made, Outcome
from tests.hostile.willing import willing
from tests.support.processes import Watch
from tests.support.repos import (
    add_commits,
    build_graph,
    compare,
    detached_head,
    fork_of,
    git,
    many_small,
    strange_repository,
)
from tests.support.servers import Peer, git_daemon, http_backend

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.timeout(1800)]

QUARANTINED: Outcome = ("failed", "audit")
NIGHT_LIMIT_S = 1200
WORKERS, CONCURRENCY = 2, 8
RUN_BYTES = 16 * MIB
NIGHT_LIMITS = LIMITS.model_copy(update={"silence_s": 2, "total_s": 20, "pack_bytes": 8 * MIB, "refs_bytes": 12 * MIB})

PYTHON_BYTES = 300 * MIB
"""Memory of a fetching process before it does anything: 260 MiB were seen, forked from a run with Spark open."""

LARGEST_BYTES = PYTHON_BYTES + max(3 * RUN_BYTES, GROWN_BYTES + NIGHT_LIMITS.memory_bytes + NIGHT_LIMITS.pack_bytes)
"""Memory of one process: the one that collects rows, or one that decodes, with its mapped pack."""

TOGETHER_BYTES = WORKERS * (LARGEST_BYTES + PYTHON_BYTES + 3 * RUN_BYTES + CONCURRENCY * (PYTHON_BYTES + 12 * MIB))
"""Memory of all processes: in each task one collects, one decodes, and the others hold refs."""

SCRATCH_BYTES = WORKERS * (CONCURRENCY * NIGHT_LIMITS.scratch_bytes + 3 * RUN_BYTES)

RESTORED = (
    "commit_encoding_utf7_lone_surrogates",
    "commit_parent_in_capitals",
    "commit_with_100_000_signatures",
    "commit_empty",
    "commit_date_of_64_bits",
    "commit_name_of_controls",
    "tags_of_tags_10_000_deep",
    "tag_of_a_tag_of_a_tree_as_head",
    "tree_file_mode_of_200_digits",
    "tree_directory_mode_of_40_digits",
    "tree_file_name_with_slash",
    "tree_with_submodules_of_every_kind",
    "blob_as_detached_head",
    "pack_with_every_object_twice",
    "ref_funny_up_and_out",
    "ref_odd_not_utf8",
    "refs_that_are_file_and_folder",
    "symref_head_outside_what_is_fetched",
    "symref_head_up_and_out",
    "symref_branch_to_tag",
    "symrefs_in_a_circle",
    "head_detached_at_a_tree",
    "head_that_no_branch_leads_to",
)
"""Hostile repositories that are archived and restored, some of each kind."""


@dataclass
class Hostile:
    """One hostile origin that is served."""

    name: str
    outcomes: tuple[Outcome, ...]
    url: str


@dataclass
class Cast:
    """The origins that take part."""

    root: Path
    hostile: list[Hostile]
    honest: dict[str, Path]

    def urls(self) -> list[str]:
        """Honest ones among hostile ones."""
        bad, good = [item.url for item in self.hostile], list(self.honest)
        step = len(bad) // len(good)
        for at, url in enumerate(good):
            bad.insert(at * (step + 1), url)
        return bad


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    root = tmp_path_factory.mktemp("served")
    with ExitStack() as stack:
        hostile = []
        for name, spec in REPOSITORIES.items():
            made = Made()
            refs = spec.make(made)
            server: Peer = stack.enter_context(willing(made, refs))
            hostile.append(Hostile(name, spec.outcomes, server.url(f"{name}.git")))
        for name, bad in SERVERS.items():
            hostile.append(Hostile(name, bad.outcomes, stack.enter_context(bad.serve()).url(f"{name}.git")))
        servers = stack.enter_context(git_daemon(root)), stack.enter_context(http_backend(root))
        honest = {servers[n % 2].url(repo.name): repo for n, repo in enumerate(honest_repositories(root))}
        yield Cast(root, hostile, honest)


def honest_repositories(root: Path) -> list[Path]:
    """Small repositories, a strange one, a history, a fork and a detached HEAD."""
    build_graph(root / "graph.git", [[1], [2, 1], [3, 1, 2]])
    add_commits(root / "graph.git", 200)
    strange_repository(root / "strange.git", large_bytes=200_000)
    build_graph(root / "detached.git", [[1], [2, 1]])
    detached_head(root / "detached.git")
    return [
        *many_small(root, 10), root / "graph.git", root / "strange.git", root / "detached.git",
        fork_of(root / "graph.git", root / "fork.git"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, one_spark: None) -> Archive:
    folder = tmp_path_factory.mktemp("night")
    limits = NIGHT_LIMITS.model_dump()
    made = Archive.at(
        Place("local", str(folder)), folder / "settings", "archive",
        fetch={"workers": WORKERS, "concurrency": CONCURRENCY, "run_bytes": RUN_BYTES}, fetch__limits=limits,
    )  # fmt: skip
    made.init()
    return made


def test_two_nights(archive: Archive, cast: Cast, tmp_path: Path) -> None:
    """Honest origins are exact, hostile ones end as their specs say, limits hold, and another night follows."""
    archive.add(*cast.urls())
    watch, said = watched_night(archive, 1)
    print(said)
    check_visits(archive, cast, 1)
    check_peaks(watch)
    check_honest(archive, cast, tmp_path / "first", 1)
    for name in RESTORED:
        check_restored(archive, cast, name, tmp_path / name)

    add_commits(cast.root / "graph.git", 3, label="second night")
    watch, _ = watched_night(archive, 2)
    check_visits(archive, cast, 2)
    check_peaks(watch)
    check_honest(archive, cast, tmp_path / "second", 2)


def watched_night(archive: Archive, day: int) -> tuple[Watch, str]:
    """Run a night as a separate program; some origins fail, so it exits with 1."""
    with archive.start("nightly", "--night", str(night(day)), "--output", "json") as process:
        with Watch(process.pid, archive.folder / "scratch") as watch:
            stdout, stderr = process.communicate(timeout=NIGHT_LIMIT_S)
        assert process.returncode == 1, stderr[-4000:]
    return watch, stdout


def check_visits(archive: Archive, cast: Cast, day: int) -> None:
    rows = archive.sql(f"SELECT origin, status, error, detail FROM visits WHERE night = DATE '{night(day)}'", day=day)
    visits = {row["origin"]: row for row in rows}
    assert len(rows) == len(visits) == len(cast.hostile) + len(cast.honest)
    wrong = []
    for item in cast.hostile:
        visit = visits[item.url]
        ended = visit["status"], visit["error"]
        if ended not in (*item.outcomes, QUARANTINED, TIMEOUT) and visit["status"] != "unchanged":
            wrong.append((item.name, *ended, visit["detail"]))
    assert wrong == []
    for url in cast.honest:
        assert visits[url]["status"] in ("full", "unchanged"), visits[url]


def check_peaks(watch: Watch) -> None:
    largest, together, scratch = watch.largest(java=False), watch.together_bytes, watch.disk_bytes
    print(f"largest {largest >> 20} MiB, together {together >> 20} MiB, scratch {scratch >> 20} MiB")
    assert largest < LARGEST_BYTES
    assert together < TOGETHER_BYTES
    assert scratch < SCRATCH_BYTES


def check_honest(archive: Archive, cast: Cast, folder: Path, day: int) -> None:
    folder.mkdir()
    for url, repo in cast.honest.items():
        restored = archive.restore(url, folder / repo.name, day=day)
        assert compare(repo, restored, namespaces=("refs/heads/", "refs/tags/")) == []


def check_restored(archive: Archive, cast: Cast, name: str, to: Path) -> None:
    """Everything reachable from the refs is restored, byte for byte, under the refs that are kept."""
    spec, made = REPOSITORIES[name], Made()
    refs = spec.make(made)
    (url,) = [item.url for item in cast.hostile if item.name == name]
    if archive.visit(url, 1)["status"] not in ("full", "partial"):
        return
    restored = archive.restore(url, to, day=1)
    found = everything(restored)
    for oid, (_, data) in made.objects.items():
        assert found[bytes.fromhex(oid)][1] == data, oid
    kept = {ref: oid for ref, oid in refs.items() if ref != b"HEAD" and ref not in spec.left_out}
    listed = git(restored, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    found_refs = dict(line.rsplit(b" ", 1) for line in listed)
    for implied in set(made.symrefs.values()) - kept.keys():
        found_refs.pop(implied, None)  # decision 17: what a symbolic ref names is written, too
    assert found_refs == {ref: oid.encode() for ref, oid in kept.items()}
