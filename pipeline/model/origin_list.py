"""Lists of origins as people write them: one URL per line, optionally followed by the URL it was forked from."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.model.errors import UsageError
from pipeline.model.origin import BadOriginUrl, Origin, check_url
from pipeline.model.pattern import before_comment


class BadOriginList(UsageError):
    """Some lines cannot be used; ``problems`` holds their numbers and what is wrong with each."""

    def __init__(self, source: str, problems: tuple[tuple[int, str], ...]) -> None:
        super().__init__(source, problems)
        self.source, self.problems = source, problems

    def __str__(self) -> str:
        lines = "".join(f"\n  line {number}: {why}" for number, why in self.problems)
        return f"{self.source}: nothing was added, {len(self.problems)} lines cannot be used:{lines}"


def parse_origin_list(source: str, lines: Iterable[str]) -> list[Origin]:
    """Read a list. Blank lines, and comments that begin with ``#`` at the start or after white space, are skipped.

    Args:
        source: name of the list in errors.
        lines: the list's lines.

    Returns:
        The origins in order, each URL once.

    Raises:
        BadOriginList: any line is bad; it names all bad lines.
    """
    origins: dict[str, Origin] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        words = before_comment(line).split()
        if not words:
            continue
        try:
            if len(words) > 2:
                raise UsageError("more than two columns")
            origin = Origin(check_url(words[0]), check_url(words[1]) if len(words) == 2 else None)
            before = origins.setdefault(origin.url, origin)
            if before != origin:
                raise UsageError(f"{origin.url} is already listed above, as a fork of {before.fork_of or 'nothing'}")
        except (UsageError, BadOriginUrl) as error:
            problems.append((number, str(error)))
    if problems:
        raise BadOriginList(source, tuple(problems))
    return list(origins.values())
