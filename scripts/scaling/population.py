"""The origins of a made-up archive: roots and forks, and what each of them shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scaling.made import FIRST, Shape


@dataclass(frozen=True, slots=True)
class Population:
    """Networks of a root and its forks. A fork stays at the first version; a root with forks began one version ahead.

    Attributes:
        server: URL of the server, without a path.
        networks: their numbers count from 0.
        forks: of each root.
    """

    server: str
    shape: Shape
    networks: int
    forks: int = 0

    @property
    def origins(self) -> int:
        """Roots and forks."""
        return self.networks * (1 + self.forks)

    @property
    def begun(self) -> int:
        """The version that every root has when it is first seen."""
        return FIRST + (self.forks > 0)

    def root(self, number: int) -> str:
        """The URL of a root."""
        return f"{self.server}/{number}"

    def lines(self) -> Iterator[str]:
        """All origins, as ``pipeline origins add`` reads them."""
        for number in range(self.networks):
            root = self.root(number)
            yield root
            for fork in range(self.forks):
                yield f"{root}/{fork} {root}"


def place_of(path: str) -> tuple[int, bool]:
    """The network of a URL or its path, and whether it is a root.

    >>> place_of("git://127.0.0.1:9418/12"), place_of("/12/3")
    ((12, True), (12, False))
    """
    parts = path.partition("://")[2].split("/")[1:] if "://" in path else path.strip("/").split("/")
    return int(parts[0]), len(parts) == 1
