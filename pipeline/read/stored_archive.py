"""What an archive tells without Spark: for questions that Spark takes longer to start for than to answer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model.errors import UsageError
from pipeline.model.tables import BY_NAME, FILES, LANDED, shown_columns
from pipeline.read.blame import NoSuchFile, blame, blame_rows
from pipeline.read.duckdb_query import query
from pipeline.read.head_files import SCHEMA as FILES_SCHEMA
from pipeline.read.head_files import files_below
from pipeline.read.network_objects import NetworkObjects
from pipeline.read.one_origin import NeverArchived, OriginNotFound, Place, place_of, refs_of
from pipeline.read.patch import patch, stats
from pipeline.read.path_history import SCHEMA as HISTORY_SCHEMA
from pipeline.read.path_history import change_rows, exact_path, read_graph, said
from pipeline.read.revision import FoundCommit, find_commit, read_commit
from pipeline.read.scratch_repository import NetworkLender, NotKept, ScratchRepository
from pipeline.read.stored import StoredTables
from pipeline.rules.commit_diff import EMPTY_TREE
from pipeline.storage.interface import Storage
from pipeline.tables.snapshot.rows import Value

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_OBJECTS = tuple(table.name for table in LANDED)


class NoSuchTable(UsageError):
    """The archive has no table of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"there is no table {self.name!r}; known tables: {', '.join(sorted(BY_NAME))}"


class NoSuchColumn(UsageError):
    """A table has no such column."""

    def __init__(self, table: str, columns: Collection[str]) -> None:
        super().__init__(table, tuple(columns))
        self.table, self.columns = table, tuple(columns)

    def __str__(self) -> str:
        known = ", ".join(shown_columns(BY_NAME[self.table]))
        return f"{self.table} has no column {', '.join(self.columns)}; it has {known}"


class PolarsMissing(UsageError):
    """Polars is not installed."""

    def __str__(self) -> str:
        return "polars is not installed: install this package with its extra [polars]"


class StoredArchive:
    """An archive on a night, read from its files in this process.

    Args:
        storage: where it is; None for an archive of which only Spark knows.
        night: default for methods called without a night; None means the newest sealed night, or the current state of
            an archive without one.

    Raises:
        NotAnArchive: from every method, if there are no tables.
        NightNotFound: from every method, if the night is not sealed.
        StoredFileDamaged: from every method, if a file cannot be read.
    """

    below: int | None = None
    """Only networks below this number are in tables; None for all."""

    def __init__(self, storage: Storage | None, night: date | None = None) -> None:
        self._storage, self._night = storage, night

    def nights(self) -> list[date]:
        """The sealed nights, oldest first."""
        return self._tables((), None).nights

    def night(self, night: date | None = None) -> date | None:
        """The night that a read with this argument uses; None for the current state."""
        return self._tables((), night or self._night).night

    def arrow(
        self,
        what: str,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Value] | None = None,
        night: date | None = None,
    ) -> pa.Table:
        """A table, or the rows of a query, as an Arrow table. Everything is held in memory.

        Args:
            what: the name of a table, or a query in DuckDB's SQL over the tables; of these only the columns that it
                names are read.
            columns: of a table; None for all, in its order.
            where: values by column that rows of a table have; data that hold no such row are mostly skipped.

        Raises:
            NoSuchTable, NoSuchColumn: there is no such table or column.
            DuckDBMissing: a query needs the extra [duckdb].
            UsageError: DuckDB refuses the query, or it came with columns or conditions.
        """
        if what in BY_NAME:
            wanted = shown_columns(BY_NAME[what]) if columns is None else columns
            strays = {*wanted, *(where or ())} - {*shown_columns(BY_NAME[what])}
            if strays:
                raise NoSuchColumn(what, sorted(strays))
            schema = pa.schema([BY_NAME[what].arrow_schema.field(name) for name in wanted])
            return pa.Table.from_batches(self._batches(what, wanted, where or {}, self.night(night)), schema)
        if what.isidentifier():
            raise NoSuchTable(what)
        if columns is not None or where is not None:
            raise UsageError("columns and conditions of a query belong into its text")
        shown = self.night(night)
        return query(what, lambda table, columns: self._batches(table, columns, {}, shown))

    def pandas(
        self,
        what: str,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Value] | None = None,
        night: date | None = None,
    ) -> pd.DataFrame:
        """As ``arrow``, as a pandas frame; ids are bytes, times have microseconds in UTC."""
        return self.arrow(what, columns, where, night).to_pandas()

    def polars(
        self,
        what: str,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Value] | None = None,
        night: date | None = None,
    ) -> pl.DataFrame:
        """As ``arrow``, as a polars frame.

        Raises:
            PolarsMissing: this needs the extra [polars].
        """
        try:
            import polars as pl  # noqa: PLC0415 - an extra
        except ImportError:
            raise PolarsMissing from None
        return pl.DataFrame(self.arrow(what, columns, where, night))

    def files(self, origin: str, commit: str | bytes | None = None, night: date | None = None) -> pa.Table:
        """The files of a commit, as ``git ls-tree -r`` lists them: the columns of the table ``files``, by path.

        Args:
            origin: its URL.
            commit: its id, in hexadecimal or as bytes, or the name of a branch or tag; None for HEAD. Any commit of
                the origin's network will do.

        Raises:
            OriginNotFound, NeverArchived: the origin was not visited by the night, or never with success.
            CommitNotFound: there is no such commit.
            ObjectsMissing, TooManyPaths: trees are missing, or name too many paths.
        """
        return _listed(self._tables(_OBJECTS, self.night(night)), origin, commit)

    def history(
        self, origin: str, path: str | bytes, commit: str | bytes | None = None, night: date | None = None
    ) -> pa.Table:
        """The commits that changed a path, as ``git diff-tree -c --root`` names it, newest first.

        One row per commit: its id, ``status`` (A, M, D or T) with mode and id of the path in it and in its first
        parent, and author, times and message. Merges that took the path of one of their parents are left out.

        Args:
            path: of a file or folder, from the root of the repository; bytes if it is not UTF-8.
            commit: where to begin, as in ``files``.

        Raises:
            OriginNotFound, NeverArchived, CommitNotFound: as in ``files``.
        """
        tables = self._tables(_OBJECTS, self.night(night))
        place, found = _find(tables, origin, commit)
        if found is None:
            return HISTORY_SCHEMA.empty_table()
        trees = NetworkObjects(tables, place.network, place.bucket).trees()
        return change_rows(tables, place, read_graph(tables, place).changes(found.oid, trees, path))

    def patch(self, origin: str, commit: str | bytes | None = None, night: date | None = None) -> bytes:
        """What a commit changed against its first parent: the output of ``git diff-tree -p -M --full-index``.

        The git of this machine writes it, in a folder with the few objects that it needs, and without anybody's
        settings. A commit without parents is compared with the empty tree.

        Args:
            commit: as in ``files``.

        Raises:
            OriginNotFound, NeverArchived, CommitNotFound: as in ``files``.
            NotKept: a content that git needs was taken down, or is too large for the archive.
            TooManyChanges, GitMissing, GitFailed: git cannot be asked, or fails.
        """
        with self._compared(origin, commit, night) as (repository, old, new):
            return patch(repository, old, new)

    def commit_stats(self, origin: str, commit: str | bytes | None = None, night: date | None = None) -> pa.Table:
        """The lines that a commit added and deleted, by file: what ``git show --numstat --first-parent`` counts.

        One row per file in git's order: its path, the old one if it was renamed, ``added`` and ``deleted``, which are
        null for binary files. Paths that are not UTF-8 are in ``path_raw`` and ``old_path_raw`` as well, exactly.

        Args:
            commit: as in ``files``.

        Raises:
            OriginNotFound, NeverArchived, CommitNotFound, NotKept, TooManyChanges, GitMissing, GitFailed: as ``patch``.
        """
        with self._compared(origin, commit, night) as (repository, old, new):
            return stats(repository, old, new)

    def blame(
        self, origin: str, path: str | bytes, commit: str | bytes | None = None, night: date | None = None
    ) -> pa.Table:
        """The commit that each line of a file comes from, as ``git blame`` says it, through renames too.

        One row per line: its number, the commit with author and time, the line's number and the path in that commit,
        and the content without its line feed.

        Args:
            path: of a file, from the root of the repository; bytes if it is not UTF-8.
            commit: as in ``files``.

        Raises:
            OriginNotFound, NeverArchived, CommitNotFound, NotKept, TooManyChanges, GitMissing, GitFailed: as ``patch``.
            NoSuchFile: the commit has no file of this name.
        """
        tables = self._tables(_OBJECTS, self.night(night))
        place, found = _find(tables, origin, commit)
        name = exact_path(path)
        if found is None:
            raise NoSuchFile(name)
        lender = NetworkLender(NetworkObjects(tables, place.network, place.bucket))
        with ScratchRepository.open(lender) as repository:
            lines = blame(repository, read_graph(tables, place), found.oid, name)
        return blame_rows(lines, said(tables, place, {line.commit for line in lines}))

    @contextmanager
    def _compared(
        self, origin: str, commit: str | bytes | None, night: date | None
    ) -> Iterator[tuple[ScratchRepository, bytes, bytes]]:
        """A repository for git, and the root trees of a commit's first parent and of the commit."""
        tables = self._tables(_OBJECTS, self.night(night))
        place, found = _find(tables, origin, commit)
        lender = NetworkLender(NetworkObjects(tables, place.network, place.bucket))
        with ScratchRepository.open(lender) as repository:
            if found is None:
                yield repository, EMPTY_TREE, EMPTY_TREE
                return
            parent = read_commit(tables, place, found.parents[0]) if found.parents else None
            if found.parents and parent is None:
                raise NotKept(1, found.parents[0].hex())
            yield repository, EMPTY_TREE if parent is None else parent.tree, found.tree

    def _tables(self, names: Collection[str], night: date | None) -> StoredTables:
        if self._storage is None:
            raise UsageError("this archive was opened without its storage; only Spark can read it")
        return StoredTables(self._storage, night, names)

    def _batches(
        self, table: str, columns: Sequence[str], where: Mapping[str, Value], night: date | None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table on a night that was chosen; those of ``files`` come from trees."""
        if table == FILES.name:
            yield from self._files(columns, where, night)
            return
        tables = self._tables((table,), night)
        bucket = where.get("bucket")
        read = columns if self.below is None else list(dict.fromkeys([*columns, "network"]))
        for batch in tables.visible(table, read, where, bucket if isinstance(bucket, int) else None):
            yield self._sampled(batch).select(list(columns))

    def _sampled(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch if self.below is None else batch.filter(pc.less(batch.column("network"), self.below))

    def _files(
        self, columns: Sequence[str], where: Mapping[str, Value], night: date | None
    ) -> Iterator[pa.RecordBatch]:
        tables = self._tables(_OBJECTS, night)
        only = {"url": where["origin"]} if "origin" in where else {}
        origins = map(self._sampled, tables.visible("origins", ["url", "network"], only))
        urls = {url for batch in origins for url in batch.column("url").to_pylist()}
        for url in sorted(urls):
            try:
                rows = _listed(tables, url, None, partial=True)
            except (OriginNotFound, NeverArchived):
                continue
            for name, value in where.items():
                rows = rows.filter(pc.equal(rows.column(name), pa.scalar(value, rows.schema.field(name).type)))
            yield from rows.select(list(columns)).to_batches()


def _listed(tables: StoredTables, origin: str, commit: str | bytes | None, *, partial: bool = False) -> pa.Table:
    place, found = _find(tables, origin, commit)
    if found is None:
        return FILES_SCHEMA.empty_table()
    trees = NetworkObjects(tables, place.network, place.bucket).trees().below([found.tree])
    return files_below(origin, place, found.tree, trees, tables.taken_down(place.network), partial=partial)


def _find(tables: StoredTables, origin: str, commit: str | bytes | None) -> tuple[Place, FoundCommit | None]:
    place = place_of(tables, origin)
    return place, find_commit(tables, origin, place, refs_of(tables, origin, place), commit)
