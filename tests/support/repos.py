"""Repositories from a short spec, made by C git."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.support.compare import compare
from tests.support.git import (
    GIT_ENVIRONMENT,
    fast_import,
    git,
    git_environment,
    init,
    put,
    put_commit,
    put_tag,
    put_tree,
    resolve,
    run_git,
    set_refs,
)
from tests.support.strange import strange_repository

__all__ = [
    "GIT_ENVIRONMENT",
    "add_commits",
    "build_graph",
    "compare",
    "dangling_head",
    "detached_head",
    "empty_repository",
    "fast_import",
    "force_push",
    "fork_of",
    "git",
    "git_environment",
    "init",
    "many_small",
    "put",
    "put_commit",
    "put_tag",
    "put_tree",
    "resolve",
    "run_git",
    "set_refs",
    "sha256_repository",
    "strange_repository",
]

_EPOCH: Final = 1_700_000_000


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def _commit(ref: bytes, mark: int, seconds: int, message: bytes) -> bytes:
    who = b"C O Mitter <committer@example.com> %d +0100" % (_EPOCH + seconds)
    return b"commit %s\nmark :%d\ncommitter %s\n%s" % (ref, mark, who, _data(message))


def build_graph(path: Path, graph: Sequence[Sequence[int]]) -> dict[int, str]:
    """A bare repository from ``[[1], [2, 1], [3, 1, 2]]``: commit 2 has parent 1, commit 3 is a merge of 1 and 2.

    Every commit adds a file named after it, one minute after the previous commit. The last commit listed is the branch
    main; each other commit without a child is the branch ``tip-N``. Returns the ids by number.
    """
    init(path)
    stream = [b"feature done\n"]
    for minute, (number, *parents) in enumerate(graph):
        stream.append(_commit(b"refs/graph/%d" % number, number, 60 * minute, b"commit %d\n" % number))
        stream += [b"%s :%d\n" % (b"from" if at == 0 else b"merge", parent) for at, parent in enumerate(parents)]
        stream.append(b"M 100644 inline %d.txt\n%s" % (number, _data(b"file of commit %d\n" % number)))
    fast_import(path, b"".join([*stream, b"done\n"]))
    listed = git(path, "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/graph").decode()
    ids = {int(number): oid for number, oid in (line.split() for line in listed.splitlines())}
    last = graph[-1][0]
    inner = {parent for _, *parents in graph for parent in parents}
    tips = {b"refs/heads/tip-%d" % number: oid for number, oid in ids.items() if number not in inner | {last}}
    set_refs(path, {b"refs/heads/main": ids[last]} | tips)
    git(path, "update-ref", "--stdin", stdin=b"".join(b"delete refs/graph/%d\n" % number for number in ids))
    return ids


def add_commits(repo: Path, count: int, *, branch: str = "main", label: str = "more") -> list[str]:
    """Put commits on a branch, which may be unborn; returns their ids, oldest first.

    Each writes its own file and adds a line to ``log.txt``. Two calls never make the same blob.
    """
    ref = f"refs/heads/{branch}"
    known = run_git("-C", repo, "rev-list", ref).stdout.decode().split()
    tip = known[0] if known else "nothing"
    stream = [b"feature done\n"]
    log = ""
    for number in range(1, count + 1):
        stream.append(_commit(ref.encode(), number, 60 * (len(known) + number), f"{label} {number}\n".encode()))
        if number == 1 and known:
            stream.append(f"from {tip}\n".encode())
        log += f"{label} {number} after {tip}\n"
        stream.append(b"M 100644 inline log.txt\n" + _data(log.encode()))
        name = f"{label}/{len(known) + number}.txt"
        stream.append(f"M 100644 inline {name}\n".encode() + _data(f"{name} after {tip}\n".encode()))
    fast_import(repo, b"".join([*stream, b"done\n"]))
    return git(repo, "rev-list", "--first-parent", "--reverse", f"-{count}", ref).decode().split()


def force_push(repo: Path, *, branch: str = "main") -> str:
    """Replace the branch's newest commit with another with the same parents, as an amended push does."""
    old = git(repo, "cat-file", "commit", f"refs/heads/{branch}")
    new = put(repo, "commit", old + b"amended\n")
    set_refs(repo, {f"refs/heads/{branch}".encode(): new})
    return new


def empty_repository(path: Path) -> Path:
    """No refs, no objects; HEAD names the unborn branch main."""
    return init(path)


def sha256_repository(path: Path) -> Path:
    """Two commits in the SHA-256 object format."""
    init(path, "--object-format=sha256")
    add_commits(path, 2)
    return path


def detached_head(repo: Path, revision: str = "refs/heads/main") -> str:
    """Make HEAD name a commit and no branch; returns its id."""
    oid = resolve(repo, f"{revision}^0")
    git(repo, "update-ref", "--no-deref", "HEAD", oid)
    return oid


def dangling_head(repo: Path, branch: str = "gone") -> None:
    """Make HEAD name a branch that does not exist."""
    git(repo, "symbolic-ref", "HEAD", f"refs/heads/{branch}")


def fork_of(repo: Path, path: Path, *, commits: int = 2) -> Path:
    """A copy with all heads and tags of the original, and its own commits on the branch that HEAD names."""
    done = run_git("clone", "-q", "--bare", "--no-hardlinks", repo, path)
    assert done.returncode == 0, done.stderr
    branch = git(path, "symbolic-ref", "--short", "HEAD").decode().strip()
    add_commits(path, commits, branch=branch, label="fork")
    return path


def many_small(root: Path, count: int, *, prefix: str = "small") -> list[Path]:
    """Many repositories of one commit with two files, each with its own history, without one process per repository."""
    made = []
    for number in range(count):
        repo = root / f"{prefix}-{number:05}.git"
        (repo / "refs").mkdir(parents=True)
        (repo / "objects").mkdir()
        (repo / "HEAD").write_text("ref: refs/heads/main\n")
        (repo / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
        readme = put(repo, "blob", f"# {prefix} {number}\n".encode())
        code = put(repo, "blob", f"print({number})\n".encode())
        tree = put_tree(repo, ("100644", "README.md", readme), ("100644", "main.py", code))
        tip = put_commit(repo, tree, message=f"Start {prefix} {number}\n".encode())
        (repo / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{tip} refs/heads/main\n")
        made.append(repo)
    return made
