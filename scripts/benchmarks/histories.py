"""Synthetic repositories, equal for equal numbers on every machine: long, wide, many bytes, small."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import IO

from benchmarks.measure import command

MEAN_LINES, LINE_BYTES = 1_150, 37
VERSIONS_OF_A_FILE = 30
FILES_OF_A_COMMIT = 3
FILES_OF_A_FOLDER = 50
BLOB_SHARE = 0.93
"""Share of blobs in the raw bytes of a long history; the rest are trees and commits."""

WIDE_LINES = 270

PAGE_BYTES, RELEASES, MENU_LINES = 46_000, 50, 300
"""A generated page: 960 MB of them are 21,000 objects. Each release writes all pages again."""

EPOCH = 1_400_000_000

_OPENINGS = (
    b"    if (%s->%s ", b"    return %s_%s", b"static int %s_%s", b"        %s = %s", b"#define %s_%s ",
    b"    /* %s the %s ", b"    for (int %s = %s", b"        case %s_%s: ", b"    %s->%s", b"struct %s %s",
    b"            %s(%s, ", b"  assert(%s.%s",
)  # fmt: skip
_ENDINGS = (
    b"== %s) {\n", b"(%s, %s);\n", b" = %s(&%s);\n", b"%s, sizeof(%s));\n", b"%s */\n", b"!= NULL && %s < %s) {\n",
    b"[%s];\n", b".%s->%s++;\n", b"(void);\n", b"%s(%s), \"%s\");\n", b"}\n", b" ? %s : %s;\n",
)  # fmt: skip


class Source:
    """Lines that look and compress like source code."""

    def __init__(self, random: Random) -> None:
        self._random = random
        syllables = [a + b for a in "bcdfglmnprstvwk" for b in ("a", "e", "i", "o", "u", "et")]
        words = ["".join(random.choices(syllables, k=random.randint(1, 4))).encode() for _ in range(6_000)]
        self._openings = [self._filled(random.choice(_OPENINGS), words) for _ in range(12_000)]
        self._endings = [self._filled(random.choice(_ENDINGS), words) for _ in range(12_000)]

    def _filled(self, template: bytes, words: list[bytes]) -> bytes:
        return template % tuple(self._random.choices(words, k=template.count(b"%s")))

    def lines(self, count: int) -> list[bytes]:
        """``count`` new lines."""
        begin = self._random.choices(self._openings, k=count)
        end = self._random.choices(self._endings, k=count)
        return [a + b for a, b in zip(begin, end, strict=True)]

    def edit(self, lines: list[bytes]) -> None:
        """What a commit does to a file: a few places change, most lines stay."""
        for _ in range(1 + int(self._random.expovariate(0.7))):
            at = self._random.randrange(len(lines))
            lines[at : at + self._random.randint(1, 3)] = self.lines(self._random.randint(1, 3))


def long_history(path: Path, raw_bytes: int, *, seed: int = 5) -> None:
    """About ``raw_bytes`` of objects: few files with many versions each, which differ by a few lines."""
    random = Random(seed)  # noqa: S311 - the same text every time
    source = Source(random)
    versions = max(int(raw_bytes * BLOB_SHARE / (MEAN_LINES * LINE_BYTES)), 10)
    files = max(versions // VERSIONS_OF_A_FILE, 3)
    weights = [random.paretovariate(1.2) for _ in range(files)]
    schedule = [*range(files), *random.choices(range(files), weights, k=versions - files)]
    random.shuffle(schedule)
    counts = Counter(schedule)
    sizes = [random.lognormvariate(0, 1) for _ in range(files)]
    lines_of_one = raw_bytes * BLOB_SHARE / LINE_BYTES / sum(sizes[file] * count for file, count in counts.items())
    first, mark = [], 1
    with _fast_import(path) as stream:
        for file in range(files):
            first.append(mark)
            lines = source.lines(max(int(sizes[file] * lines_of_one), 5))
            for _ in range(counts[file]):
                stream.write(b"blob\nmark :%d\n%s" % (mark, _data(b"".join(lines))))
                source.edit(lines)
                mark += 1
        upcoming = list(first)
        for number, changed in enumerate(_commits_of(schedule)):
            stream.write(_commit(number))
            for file in changed:
                stream.write(b"M 100644 :%d %s\n" % (upcoming[file], _path(file)))
                upcoming[file] += 1


def _commits_of(schedule: list[int]) -> Iterator[list[int]]:
    """Files that change together, in order, none twice in one commit, so that each version is in some tree."""
    changed: list[int] = []
    for file in schedule:
        if len(changed) == FILES_OF_A_COMMIT or file in changed:
            yield changed
            changed = []
        changed.append(file)
    yield changed


def wide_head(path: Path, raw_bytes: int, *, seed: int = 6) -> None:
    """One commit with about ``raw_bytes`` of text in many files."""
    random = Random(seed)  # noqa: S311 - the same text every time
    source = Source(random)
    with _fast_import(path) as stream:
        stream.write(_commit(0))
        written = number = 0
        while written < raw_bytes:
            text = b"".join(source.lines(max(int(random.lognormvariate(0, 1) * WIDE_LINES / 1.65), 3)))
            stream.write(b"M 100644 inline %s\n%s" % (_path(number), _data(text)))
            written += len(text)
            number += 1


def generated_pages(path: Path, raw_bytes: int, *, seed: int = 7) -> None:
    """About ``raw_bytes`` of generated pages, as sites of documentation have: every release changes all of them.

    A page has a menu that all pages of a release share, with a line or two more in each release, and a text of its own,
    of which every other release changes a few lines. Its first and last lines name the release. Packed by ``git
    repack``, as on a server.
    """
    random = Random(seed)  # noqa: S311 - the same text every time
    source = Source(random)
    count = max(raw_bytes // (PAGE_BYTES * RELEASES), 1)
    menu = _marked(source.lines(MENU_LINES))
    lines = (PAGE_BYTES - sum(map(len, menu))) // LINE_BYTES
    texts = [source.lines(lines) for _ in range(count)]
    with _fast_import(path) as stream:
        for release in range(RELEASES):
            menu[random.randrange(len(menu)) : 0] = _marked(source.lines(random.randint(1, 2)))
            stream.write(_commit(release))
            for number, text in enumerate(texts):
                if release and random.random() < 0.5:
                    source.edit(text)
                built = EPOCH + 3600 * release + number
                stamp = b"<!-- page %d, release %d, built at %d -->\n" % (number, release, built)
                page = b"".join((stamp, b"<nav>\n", *menu, b"</nav><main>\n", *text, b"</main>\n", stamp))
                stream.write(b"M 100644 inline %s\n%s" % (_path(number, b"html"), _data(page)))
    command(["git", "-C", path, "repack", "-adfq"])


def _marked(lines: list[bytes]) -> list[bytes]:
    return [b'<li><a href="%d.html">%s</a></li>\n' % (number, line.strip()) for number, line in enumerate(lines)]


def small_repository(path: Path, number: int) -> None:
    """Three commits and three files; ``number`` makes the history unique."""
    with _fast_import(path) as stream:
        for commit in range(3):
            stream.write(_commit(commit))
            text = b"".join(b"line %d of repository %d\n" % (line, number) for line in range(20 * (commit + 1)))
            stream.write(b"M 100644 inline %s\n%s" % (_path(commit), _data(text)))


def add_commit(path: Path) -> None:
    """Add a commit with a new file to the branch main."""
    with _fast_import(path) as stream:
        stream.write(_commit(3) + b"from refs/heads/main^0\nM 100644 inline news.txt\n" + _data(b"news\n"))


def _path(number: int, extension: bytes = b"c") -> bytes:
    return b"part%03d/file%05d.%s" % (number // FILES_OF_A_FOLDER, number, extension)


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def _commit(number: int) -> bytes:
    who = b"committer Some Body <body%d@example.org> %d +0100\n" % (number % 40, EPOCH + 3600 * number)
    return b"commit refs/heads/main\n%s%s" % (who, _data(b"Change %d\n" % number))


@contextmanager
def _fast_import(path: Path) -> Iterator[IO[bytes]]:
    if not path.exists():
        command(["git", "init", "--quiet", "--bare", "--initial-branch=main", path])
    with subprocess.Popen(
        ["git", "-C", path, "-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--done"], stdin=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        yield process.stdin
        process.stdin.write(b"done\n")
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, process.args)
