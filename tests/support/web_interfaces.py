"""Real cgit and gitweb, as Debian has them, in front of a folder of repositories."""

from __future__ import annotations

import contextlib
import os
import shutil
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.model.page import Page
from tests.support.real_servers import Cgi, backend, wsgi_server
from tests.support.repos import many_small
from tests.support.sockets import Peer

CGIT: Final = Path("/usr/lib/cgit/cgit.cgi")
GITWEB: Final = Path("/usr/share/gitweb/gitweb.cgi")


def missing() -> str:
    """Why they cannot run here; "" when they can."""
    found = [name for name, program in (("cgit", CGIT), ("gitweb", GITWEB)) if not program.exists()]
    return f"{' and '.join(found)} not installed" if found else ""


class Folder:
    """Repositories below a folder, by their paths."""

    def __init__(self, root: Path) -> None:
        self.root = root / "repositories"
        self.root.mkdir()
        self._one = os.fsencode(many_small(root / "template", 1)[0])

    def create(self, path: str | bytes, *, empty: bool = False, age: float | None = None) -> None:
        """A repository with a commit, or none; ``age``: the second at which it was last changed."""
        place = os.fsencode(self.root) + b"/" + os.fsencode(path)
        os.makedirs(place + b"/refs")
        os.symlink(self._one + b"/objects", place + b"/objects")
        for name in (b"/HEAD", b"/config") if empty else (b"/HEAD", b"/config", b"/packed-refs"):
            shutil.copyfile(self._one + name, place + name)
        if age is not None:
            self.push(path, age)

    def push(self, path: str | bytes, age: float) -> None:
        """Let it look as if something was pushed at a second."""
        os.utime(os.fsencode(self.root) + b"/" + os.fsencode(path) + b"/packed-refs", (age, age))

    def rename(self, path: str, other: str) -> None:
        (self.root / other).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).rename(self.root / other)

    def delete(self, path: str) -> None:
        shutil.rmtree(self.root / path)


@contextlib.contextmanager
def interfaces(folder: Folder, *settings: str) -> Iterator[Peer]:
    """Serve cgit at ``/cgit/``, gitweb at ``/gitweb/``; repositories are cloned from where cgit shows them.

    Args:
        settings: lines of cgit's configuration.
    """
    rc, conf = folder.root.parent / "cgitrc", folder.root.parent / "gitweb.conf"
    rc.write_text("\n".join(["cache-size=0", "virtual-root=/cgit/", *settings, f"scan-path={folder.root}", ""]))
    conf.write_text(f'$projectroot = "{folder.root}";\n')
    programs = {
        "cgit": Cgi([CGIT], {"CGIT_CONFIG": str(rc)}),
        "gitweb": Cgi(["perl", GITWEB], {"GITWEB_CONFIG": str(conf)}),
    }
    clones = backend(folder.root)

    def application(environ: Mapping[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        _, first, rest = environ["PATH_INFO"].split("/", 2)
        is_clone = rest.endswith(("/info/refs", "/git-upload-pack"))
        return (clones if is_clone else programs[first])({**environ, "PATH_INFO": f"/{rest}"}, start_response)

    with wsgi_server(application) as peer:
        yield peer


def asked(address: str) -> Page:
    """A page without our own dialer."""
    with urllib.request.urlopen(address) as answer:
        return Page({name.lower(): value for name, value in answer.headers.items()}, answer.read())
