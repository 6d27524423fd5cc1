"""Running C git, and writing objects that git itself would refuse to write."""

from __future__ import annotations

import hashlib
import os
import subprocess
import zlib
from pathlib import Path
from typing import Final

GIT_ENVIRONMENT: Final = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "A U Thor",
    "GIT_AUTHOR_EMAIL": "author@example.com",
    "GIT_AUTHOR_DATE": "1700000000 +0100",
    "GIT_COMMITTER_NAME": "C O Mitter",
    "GIT_COMMITTER_EMAIL": "committer@example.com",
    "GIT_COMMITTER_DATE": "1700000000 +0100",
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "init.defaultBranch",
    "GIT_CONFIG_VALUE_0": "main",
    "GIT_CONFIG_KEY_1": "gc.auto",
    "GIT_CONFIG_VALUE_1": "0",
    "LC_ALL": "C",
}


def git_environment() -> dict[str, str]:
    """The process environment without the user's git settings and with ours."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return inherited | GIT_ENVIRONMENT


def run_git(
    *arguments: str | bytes | Path, stdin: bytes = b"", timeout_s: float = 120
) -> subprocess.CompletedProcess[bytes]:
    """Run git, whatever it returns; if it takes longer, kills it and raises TimeoutExpired."""
    return subprocess.run(
        ["git", *arguments], input=stdin, capture_output=True, env=git_environment(), timeout=timeout_s, check=False
    )


def git(repo: Path, *arguments: str | bytes | Path, stdin: bytes = b"", timeout_s: float = 120) -> bytes:
    """Run git in a repository and return its standard output; a failure shows its standard error."""
    done = run_git("-C", repo, *arguments, stdin=stdin, timeout_s=timeout_s)
    assert done.returncode == 0, (
        f"git {arguments!r} ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
    )
    return done.stdout


def resolve(repo: Path, revision: str) -> str:
    """The full id of a revision."""
    return git(repo, "rev-parse", "--verify", revision).decode().strip()


def init(path: Path, *options: str) -> Path:
    """A new bare repository whose HEAD is the unborn branch main."""
    done = run_git("init", "-q", "--bare", *options, path)
    assert done.returncode == 0, done.stderr
    return path


def put(repo: Path, kind: str, raw: bytes) -> str:
    """Write a loose object as given, without any check of its content, and return its id."""
    whole = f"{kind} {len(raw)}\0".encode() + raw
    oid = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
    path = repo / "objects" / oid[:2] / oid[2:]
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(whole, 1))
    return oid


def put_tree(repo: Path, *entries: tuple[str, str | bytes, str]) -> str:
    """Write a tree of (mode digits, name, id) entries, in the given order."""
    rows = [
        mode.encode() + b" " + (name if isinstance(name, bytes) else name.encode()) + b"\0" + bytes.fromhex(oid)
        for mode, name, oid in entries
    ]
    return put(repo, "tree", b"".join(rows))


def put_commit(
    repo: Path,
    tree: str,
    *parents: str,
    message: bytes = b"message\n",
    author: bytes = b"A U Thor <author@example.com> 1700000000 +0100",
    committer: bytes = b"C O Mitter <committer@example.com> 1700000000 +0100",
    headers: bytes = b"",
) -> str:
    """Write a commit; ``headers`` are whole lines that follow the committer."""
    lines = [b"tree " + tree.encode(), *(b"parent " + parent.encode() for parent in parents)]
    lines += [b"author " + author, b"committer " + committer]
    return put(repo, "commit", b"\n".join(lines) + b"\n" + headers + b"\n" + message)


def put_tag(
    repo: Path,
    target: str,
    kind: str,
    name: str,
    *,
    tagger: bytes | None = b"T Agger <tagger@example.com> 1700000000 -0800",
    message: bytes = b"tagged\n",
) -> str:
    """Write an annotated tag; ``tagger=None`` leaves the line out, as git did in 2005."""
    head = f"object {target}\ntype {kind}\ntag {name}\n".encode()
    return put(repo, "tag", head + (b"" if tagger is None else b"tagger " + tagger + b"\n") + b"\n" + message)


def set_refs(repo: Path, refs: dict[bytes, str]) -> None:
    """Create or move refs, by full names of any bytes that git allows."""
    lines = [b"update " + name + b" " + oid.encode() + b"\n" for name, oid in refs.items()]
    git(repo, "update-ref", "--stdin", stdin=b"".join(lines))


def fast_import(repo: Path, stream: bytes) -> None:
    """Feed ``git fast-import``, which may also move branches back."""
    git(repo, "fast-import", "--quiet", "--force", stdin=stream)
