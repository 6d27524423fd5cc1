"""A table's metadata for another place: the same snapshots, tags, ids and row ids, other URIs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.storage.bytes import has_sides, in_threads, read_checked
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.paths import join, parent_of, side_path
from pipeline.tables.snapshot.avro import AvroDamaged, edited_avro, read_avro
from pipeline.tables.snapshot.metadata import HINT, newest_metadata

_MARK = re.compile(r"-at-[0-9a-f]{12}(?=\.avro$)")


@dataclass(slots=True)
class Relocation:
    """Rewrites the metadata of one table after another.

    Manifests get new names, which the new place determines: a run after a kill writes the same files again. Data files
    and deletion vectors stay as they are; the latter name data files too, for nobody who reads them through a table.

    Args:
        storage: the archive's new place.
        former: URI of the root that the metadata name.
    """

    storage: Storage
    former: str
    written: list[str] = field(default_factory=list)
    """Paths of the files that were written."""

    def move_table(self, folder: str, metadata: str) -> None:
        """Make a version of a table's metadata, rewritten for this place, the newest.

        Args:
            folder: the table's, below the archive's root.
            metadata: path of the version.

        Raises:
            StoredFileDamaged: a file of the metadata cannot be read.
        """
        document = json.loads(read_checked(self.storage, metadata))
        try:
            lists = [entry["manifest-list"] for entry in document.get("snapshots", ())]
            moved = self._manifests(lists)
            for entry in document.get("snapshots", ()):
                entry["manifest-list"] = self._list(entry["manifest-list"], moved)
            document["location"] = self._here(document["location"])
            document["metadata-log"] = []
            document["statistics"] = document["partition-statistics"] = []  # never written by us, and never needed
        except (KeyError, TypeError, ValueError) as error:
            raise StoredFileDamaged(metadata, f"its content is invalid: {error!r}"[:300]) from error
        newest = newest_metadata(self.storage, folder)
        version = 1 if newest is None else newest[0] + 1
        to = f"{folder}/metadata/v{version}.metadata.json"
        self._write(to, json.dumps(document).encode())
        self.written.append(to)
        self._write(f"{folder}/metadata/{HINT}", b"%d" % version)

    def _manifests(self, lists: list[str]) -> dict[str, tuple[str, int]]:
        """Rewrite every manifest in some manifest lists, once; return new URIs and sizes by former URI."""
        named = {row["manifest_path"]: None for uri in lists for row in self._rows(uri)}
        return dict(zip(named, in_threads(self._manifest, named), strict=True))

    def _manifest(self, uri: str) -> tuple[str, int]:
        return self._rewrite(uri, {"file_path": self._here, "referenced_data_file": self._here})

    def _list(self, uri: str, moved: dict[str, tuple[str, int]]) -> str:
        sizes = iter([moved[row["manifest_path"]][1] for row in self._rows(uri)])
        edits = {"manifest_path": lambda old: moved[old][0], "manifest_length": lambda _: next(sizes)}
        return self._rewrite(uri, edits)[0]

    def _rewrite(self, uri: str, edits: dict[str, Any]) -> tuple[str, int]:
        """Write an Avro file for this place; return its URI and size."""
        path = self._path(uri)
        try:
            data = edited_avro(read_checked(self.storage, path), edits)
        except AvroDamaged as error:
            raise StoredFileDamaged(path, str(error)) from error
        mark = f"-at-{hashlib.sha256(self.storage.root_uri.encode()).hexdigest()[:12]}"
        name = _MARK.sub("", path.rpartition("/")[2]).removesuffix(".avro")
        to = join(parent_of(path), f"{name}{mark}.avro")
        self._write(to, data)
        self.written.append(to)
        return self.storage.uri(to), len(data)

    def _rows(self, uri: str) -> Iterator[dict[str, Any]]:
        path = self._path(uri)
        try:
            yield from read_avro(read_checked(self.storage, path))
        except AvroDamaged as error:
            raise StoredFileDamaged(path, str(error)) from error

    def _write(self, path: str, data: bytes) -> None:
        if has_sides(self.storage):
            self.storage.delete(side_path(path))  # of an older file of this name
        self.storage.replace(path, data)

    def _path(self, uri: str) -> str:
        path = self.storage.formerly_at(self.former).path_of(uri)
        if path is None:
            raise StoredFileDamaged(uri, "it is outside the archive")
        return path

    def _here(self, uri: str) -> str:
        return self.storage.uri(self._path(uri))
