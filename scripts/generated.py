"""Pages of docs of which a script writes a part, from what the source says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
END = "<!-- to here -->"


@dataclass(frozen=True, slots=True)
class Page:
    """A page. ``lines`` are its generated part, which stands between two remarks that name the script."""

    path: str
    script: str
    lines: Callable[[], Iterable[str]]

    @property
    def text(self) -> str:
        """The page as it is."""
        return (ROOT / self.path).read_text()

    def made_anew(self) -> str:
        """The page as it ought to be."""
        begin = f"<!-- {self.script} writes from here -->"
        before, _, rest = self.text.partition(begin)
        _, _, after = rest.partition(END)
        part = "\n".join(self.lines()).strip("\n")
        return f"{before}{begin}\n\n{part}\n\n{END}{after}"

    def write(self) -> None:
        """Write the page, and say so."""
        (ROOT / self.path).write_text(self.made_anew())
        sys.stdout.write(f"{self.path}: written\n")
