"""Download the jars of a list from a Maven repository: ``jars.py REPOSITORY LIST FOLDER``.

A line of the list is a SHA-256 and a path, as sha256sum writes them. A jar with another digest is an error.
"""

from __future__ import annotations

import hashlib
import sys
import urllib.request
from pathlib import Path

TIMEOUT_S = 60


def main(repository: str, listed: str, folder: str) -> None:
    """Download all of them."""
    for line in Path(listed).read_text().splitlines():
        digest, path = line.split()
        with urllib.request.urlopen(f"{repository.rstrip('/')}/{path}", timeout=TIMEOUT_S) as answer:  # noqa: S310 - as asked
            content = answer.read()
        found = hashlib.sha256(content).hexdigest()
        if found != digest:
            raise SystemExit(f"{path} has the SHA-256 {found}, not {digest}")
        (Path(folder) / Path(path).name).write_bytes(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
