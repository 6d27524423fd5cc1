"""Serve a checkout and a fork of it, with one more commit, with a real git daemon on a free port of 127.0.0.1.

Usage: serve_demo.py CHECKOUT FOLDER. Prints the two URLs on one line, then serves until it is stopped.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from git_daemon import DaemonFailed, free_port, serve

IDENTITY = {
    "GIT_AUTHOR_NAME": "Demo",
    "GIT_AUTHOR_EMAIL": "demo@example.org",
    "GIT_COMMITTER_NAME": "Demo",
    "GIT_COMMITTER_EMAIL": "demo@example.org",
}


def git(*arguments: str, stdin: str = "") -> str:
    """Run git and return what it prints."""
    done = subprocess.run(
        ["git", *arguments], input=stdin, text=True, check=True, stdout=subprocess.PIPE, env={**os.environ, **IDENTITY}
    )
    return done.stdout.strip()


def build(checkout: Path, folder: Path) -> None:
    """Make the two bare repositories."""
    own, fork = folder / "project.git", folder / "fork.git"
    git("clone", "--quiet", "--bare", "--no-local", str(checkout), str(own))
    git("clone", "--quiet", "--bare", str(own), str(fork))
    head = git("-C", str(fork), "rev-parse", "HEAD")
    blob = git("-C", str(fork), "hash-object", "-w", "--stdin", stdin="# What a fork adds\n\nOne file.\n")
    listing = git("-C", str(fork), "ls-tree", head)
    tree = git("-C", str(fork), "mktree", stdin=f"{listing}\n100644 blob {blob}\tFORK.md\n")
    commit = git("-C", str(fork), "commit-tree", tree, "-p", head, "-m", "Add a file of the fork's own")
    git("-C", str(fork), "update-ref", "HEAD", commit)


def main() -> None:
    """Build, serve, print, wait."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    checkout, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True)
    build(checkout, folder)
    port = free_port()
    try:
        daemon = serve(folder, port)
    except DaemonFailed as error:
        sys.exit(str(error))
    try:
        print(f"git://127.0.0.1:{port}/project.git git://127.0.0.1:{port}/fork.git", flush=True)
        daemon.wait()
    finally:
        daemon.terminate()
        daemon.wait()


if __name__ == "__main__":
    main()
