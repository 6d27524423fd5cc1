"""C git as the judge of two repositories."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from tests.support.git import git, run_git


def compare(original: Path, restored: Path, *, namespaces: Sequence[str] = ("refs/",)) -> list[str]:
    """The differences, one sentence each; [] if git finds none.

    Compares HEAD, the refs below ``namespaces`` with their targets and peeled targets, kind, size and id of every
    object reachable from them, and the output of ``git fsck``, which also recomputes every id from its content.
    """
    differences = []
    for what, old, new in (
        ("HEAD", [_head(original)], [_head(restored)]),
        ("ref", _refs(original, namespaces), _refs(restored, namespaces)),
        ("object", _objects(original, namespaces), _objects(restored, namespaces)),
        ("fsck", _fsck(original), _fsck(restored)),
    ):
        differences += _differences(what, old, new)
    return differences


def ls_remote(repo: Path) -> list[bytes]:
    """What the repository's server shows: ids, names, peeled ids and targets of symbolic refs; any bytes in names."""
    done = run_git("-c", "protocol.version=2", "ls-remote", "--symref", repo)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _differences(what: str, old: Collection[str], new: Collection[str]) -> list[str]:
    lost = [f"{what} only in the original: {line}" for line in sorted(set(old) - set(new))]
    return lost + [f"{what} only in the restored: {line}" for line in sorted(set(new) - set(old))]


def _head(repo: Path) -> str:
    symbolic = run_git("-C", repo, "symbolic-ref", "-q", "HEAD")
    if symbolic.returncode == 0:
        return symbolic.stdout.decode("latin-1")
    return git(repo, "rev-parse", "HEAD").decode()


def _refs(repo: Path, namespaces: Sequence[str]) -> list[str]:
    """Name, target, peeled target and symbolic target, in Latin-1, which can show any bytes."""
    folders = [namespace.rstrip("/") for namespace in namespaces]
    listed = git(repo, "for-each-ref", "--format=%(refname) %(objectname) %(*objectname) %(symref)", *folders)
    return listed.decode("latin-1").splitlines()


def _objects(repo: Path, namespaces: Sequence[str]) -> list[str]:
    tips = [line.split(" ")[1] for line in _refs(repo, namespaces)]
    head = run_git("-C", repo, "rev-parse", "-q", "--verify", "HEAD")
    if head.returncode == 0:
        tips.append(head.stdout.decode().strip())
    wanted = "".join(f"{tip}\n" for tip in tips).encode()
    listed = git(repo, "rev-list", "--objects", "--no-object-names", "--stdin", stdin=wanted)
    return git(repo, "cat-file", "--batch-check", stdin=listed).decode().splitlines()


def _fsck(repo: Path) -> list[str]:
    done = run_git("-C", repo, "fsck", "--full", "--no-dangling", "--no-progress")
    said = (done.stdout + done.stderr).decode("latin-1").splitlines()
    return [f"exit code {done.returncode}", *said]
