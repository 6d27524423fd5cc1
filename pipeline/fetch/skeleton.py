"""The commits, tags and trees of one pack, kept on scratch until all have been read.

The name of a blob, what belongs to HEAD, and what the archive must already have are only known once every tree of the
pack has been read. Their bytes wait in a scratch file; only their ids and one name per blob stay in memory.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

from pipeline.model.links import commit_links, tag_link
from pipeline.model.objects import BY_NUMBER, COMMIT, TREE, GitObject, ObjectType
from pipeline.model.tree import FILE_FORMAT, FORMAT_BITS, SYMLINK_FORMAT, TREE_FORMAT, entries_before_damage

BLOB_FORMATS = (FILE_FORMAT, SYMLINK_FORMAT)
"""Formats of entries that are blobs. Git takes any entry but a directory, file or link for a submodule and sends
nothing for it."""

LONGEST_NAME_BYTES = 4096

MOST_OBJECT_BYTES = 128 << 20
"""Most bytes of one commit, tag or tree: a fetch task holds its row, a page with it and the compressed page."""


class Skeleton:
    """Everything in a pack except its blobs. Use as a context manager: it deletes the scratch file.

    Args:
        scratch: folder for that file.
        take: called with the number of bytes before they are written there; may raise to stop.

    Attributes:
        names: blob id to a file name it was first seen under; the id is removed when the blob is landed.
        tag_targets: ids of the pack's annotated tags to their direct targets.
    """

    def __init__(self, scratch: Path, take: Callable[[int], None] = lambda size: None) -> None:
        self._take = take
        self._file = tempfile.TemporaryFile(dir=scratch, buffering=1 << 20)  # noqa: SIM115 - closed by __exit__
        self._reading = False
        self._types = bytearray()
        self._starts = array("Q", [0])
        self._position: dict[bytes, int] = {}
        self._needed: set[bytes] = set()
        self._known_names: dict[bytes, bytes] = {}
        self.names: dict[bytes, bytes] = {}
        self.tag_targets: dict[bytes, bytes] = {}

    def __enter__(self) -> Skeleton:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._types)

    def __contains__(self, oid: bytes) -> bool:
        return oid in self._position

    def add(self, type_: ObjectType, oid: bytes, body: bytes) -> None:
        """Add one commit, tag or tree; a repeated id is skipped."""
        if oid in self._position:
            return
        if self._reading:
            self._file.seek(0, 2)
            self._reading = False
        self._take(len(body))
        self._position[oid] = len(self._types)
        self._types.append(type_)
        self._starts.append(self._starts[-1] + len(body))
        self._file.write(body)
        if type_ is TREE:
            self._note_tree(body)
        elif type_ is COMMIT:
            self._note_commit(body)
        else:
            self._note_tag(oid, body)

    def _note_tree(self, data: bytes) -> None:
        names, known, needed = self.names, self._known_names, self._needed
        for mode, name, oid in entries_before_damage(data):
            kind = mode & FORMAT_BITS
            if kind == TREE_FORMAT:
                needed.add(oid)
            elif kind in BLOB_FORMATS and oid not in names:
                names[oid] = known.setdefault(name, name) if len(name) <= LONGEST_NAME_BYTES else b""

    def _note_commit(self, data: bytes) -> None:
        links = commit_links(data)
        self._needed.update(links.parents)
        if links.tree is not None:
            self._needed.add(links.tree)

    def _note_tag(self, oid: bytes, data: bytes) -> None:
        target = tag_link(data).target
        if target is not None:
            self.tag_targets[oid] = target
            self._needed.add(target)

    def name_of(self, blob: bytes) -> bytes:
        """A name of a blob that has not been landed, empty if there is none."""
        return self.names.get(blob, b"")

    @property
    def named(self) -> int:
        """How many ids the objects in here name; a few bytes of pack can name very many."""
        return len(self._needed) + len(self.names)

    def needed(self) -> set[bytes]:
        """Ids that commits, tags and trees in here name and that are not in here, except blobs of trees."""
        return {oid for oid in self._needed if oid not in self._position}

    def ids(self) -> Iterator[bytes]:
        """Ids in here, in order of arrival."""
        return iter(self._position)

    def tree_of(self, commit: bytes) -> bytes | None:
        """The tree of a commit in here, else None."""
        found = self._read(commit, COMMIT)
        return None if found is None else commit_links(found).tree

    def head_members(self, root: bytes | None) -> tuple[set[bytes], set[bytes]]:
        """Trees in here, and blobs, that can be reached from a root tree through trees in here."""
        trees: set[bytes] = set()
        blobs: set[bytes] = set()
        todo = [root] if root is not None else []
        while todo:
            oid = todo.pop()
            data = None if oid in trees else self._read(oid, TREE)
            if data is None:
                continue
            trees.add(oid)
            for mode, _, entry in entries_before_damage(data):
                kind = mode & FORMAT_BITS
                if kind == TREE_FORMAT:
                    todo.append(entry)
                elif kind in BLOB_FORMATS:
                    blobs.add(entry)
        return trees, blobs

    def trees(self) -> Mapping[bytes, bytes]:
        """The trees in here by id, read from scratch one by one."""
        return _Trees(self)

    def objects(self) -> Iterator[GitObject]:
        """Everything in here, in order of arrival."""
        self._reading = True
        self._file.seek(0)
        for index, (oid, number) in enumerate(zip(self._position, self._types, strict=True)):
            body = self._file.read(self._starts[index + 1] - self._starts[index])
            yield GitObject(BY_NUMBER[number], oid, body)

    def get(self, oid: bytes) -> GitObject | None:
        """An object in here, else None."""
        index = self._position.get(oid)
        if index is None:
            return None
        self._reading = True
        self._file.seek(self._starts[index])
        body = self._file.read(self._starts[index + 1] - self._starts[index])
        return GitObject(BY_NUMBER[self._types[index]], oid, body)

    def is_tree(self, oid: bytes) -> bool:
        """Whether a tree with this id is in here."""
        index = self._position.get(oid)
        return index is not None and self._types[index] == TREE

    def _read(self, oid: bytes, type_: ObjectType) -> bytes | None:
        found = self.get(oid)
        return found.body if found is not None and found.type is type_ else None


class _Trees(Mapping[bytes, bytes]):
    """See ``Skeleton.trees``."""

    def __init__(self, skeleton: Skeleton) -> None:
        self._skeleton = skeleton

    def __getitem__(self, oid: bytes) -> bytes:
        found = self._skeleton.get(oid) if oid in self else None
        if found is None:
            raise KeyError(oid)
        return found.body

    def __contains__(self, oid: object) -> bool:
        return isinstance(oid, bytes) and self._skeleton.is_tree(oid)

    def __iter__(self) -> Iterator[bytes]:
        return filter(self._skeleton.is_tree, self._skeleton.ids())

    def __len__(self) -> int:
        return sum(1 for _ in self)
