"""Generated pages: few objects, many bytes. Fetch against git clone and swh-loader-git, bytes stored."""

from __future__ import annotations

from benchmarks import archive, histories
from benchmarks.archive import Bed
from benchmarks.bench import Bench, say
from benchmarks.measure import MB, in_child
from benchmarks.parts import fetch, store
from benchmarks.results import Found

NAME = "pages"


def measure(bench: Bench) -> Found:
    """Measure fetch and storage of one repository."""
    say("pages: %d MB of generated pages", bench.sizes.pages_bytes / MB)
    histories.generated_pages(bench.server.path(NAME), bench.sizes.pages_bytes)
    repository = bench.server.repository(NAME)
    bed = Bed(bench.work / NAME)
    in_child(archive.create_and_plan, bed, [repository.url])
    fetched = fetch.compare(bench, bed, [repository], speed="fetch-big")
    stored = store.compare(bench, bed, [repository])
    return Found((*fetched.figures, *stored.figures), (*fetched.tables, *stored.tables))
