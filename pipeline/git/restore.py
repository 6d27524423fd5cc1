"""Rows back to a bare repository that C git reads: one pack, packed refs and HEAD."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from bisect import bisect
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pipeline.git.pack_writer import PackWriter
from pipeline.model.errors import CheckFailed, PipelineError, UsageError
from pipeline.rules.negotiation import HEAD, is_ref_name
from pipeline.rules.restore import Head

_CONFIG: Final = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"

# The path is too long, or is both a file and a folder; both are possible in packed refs.
_NO_SUCH_PATH: Final = (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EILSEQ, errno.EINVAL)
_DEEPEST: Final = 100


@dataclass(frozen=True, slots=True)
class Restored:
    """What was written.

    Attributes:
        objects: number of distinct objects.
        pack_bytes: size of the pack.
        refs: number of refs without HEAD.
        plain: names of symbolic refs that no file system path can hold; they are written as plain refs.
    """

    objects: int
    pack_bytes: int
    refs: int
    plain: tuple[bytes, ...] = ()


class DirectoryFailed(PipelineError):
    """The disk of the repository to write is full; nothing is left of it."""

    retryable = True

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why

    def __str__(self) -> str:
        return f"{self.path} cannot be written: {self.why}. Free space there, or choose another directory"


def write_repository(
    directory: Path,
    fill: Callable[[PackWriter], None],
    refs: Mapping[bytes, bytes],
    head: Head,
    symrefs: Mapping[bytes, bytes] = MappingProxyType({}),
) -> Restored:
    """Write a bare repository that appears complete or not at all.

    It is built in ``.NAME.partial`` beside its final place; leftovers of a killed run are replaced.

    Args:
        directory: must not exist, or be empty.
        fill: adds the objects to the pack, in any order, any number of times.
        refs: full name to 20-byte id, symbolic ones included.
        head: the content of HEAD.
        symrefs: the symbolic refs among the refs, and the full names of their targets.

    Raises:
        UsageError: the directory is in use, or another process is restoring to it.
        DirectoryFailed: its disk is full.
        CheckFailed: an object's bytes do not match its id, a ref or HEAD names an object that is not among the
            objects, or git does not allow a ref's name.
    """
    with _full_disk_reported(directory), _growing(directory) as partial:
        for folder in ("objects/pack", "objects/info", "refs/heads", "refs/tags"):
            (partial / folder).mkdir(parents=True)
        with PackWriter(partial / "objects" / "pack") as pack:
            fill(pack)
            plain = tuple(_write_symrefs(partial, symrefs, sorted(refs)))
            packed_refs = b"".join(_packed_refs(refs, symrefs.keys() - set(plain), pack))
            said = _head_line(head, pack)
            size = pack.finish()
        (partial / "packed-refs").write_bytes(packed_refs)
        (partial / "config").write_bytes(_CONFIG)
        (partial / "HEAD").write_bytes(said)
    return Restored(len(pack), size, len(refs), plain)


def _write_symrefs(repository: Path, symrefs: Mapping[bytes, bytes], names: Sequence[bytes]) -> Iterator[bytes]:
    """Write symbolic refs, which must be files, and yield those for which no file can be written.

    A file would also hide refs below its name.
    """
    for name, to in sorted(symrefs.items()):
        _check_name(name)
        if to != HEAD:
            _check_name(to)
        below = bisect(names, name + b"/")
        hides = below < len(names) and names[below].startswith(name + b"/")
        if hides or not _write_new(os.fsencode(repository), name, b"ref: %s\n" % to):
            yield name


def _write_new(folder: bytes, name: bytes, content: bytes) -> bool:
    """Write a file with its folders; False if the file system does not allow the path or makes it hard to remove."""
    if name.count(b"/") > _DEEPEST:
        return False
    path = os.path.join(folder, name)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
            file.write(content)
    except OSError as error:
        if error.errno not in _NO_SUCH_PATH:
            raise
        return False
    return True


def _packed_refs(refs: Mapping[bytes, bytes], symbolic: Container[bytes], pack: PackWriter) -> Iterator[bytes]:
    yield b"# pack-refs with: peeled fully-peeled sorted \n"
    for name in sorted(refs):
        _check_name(name)
        oid = _stored(name, refs[name], pack)
        if name in symbolic:
            continue
        yield b"%s %s\n" % (oid.hex().encode(), name)
        peeled = pack.peel(oid)
        if peeled is not None:
            yield b"^%s\n" % peeled.hex().encode()


def _head_line(head: Head, pack: PackWriter) -> bytes:
    if head.ref is not None:
        _check_name(head.ref)
        return b"ref: %s\n" % head.ref
    return b"%s\n" % _stored(b"HEAD", head.oid or b"", pack).hex().encode()


def _check_name(name: bytes) -> None:
    if not is_ref_name(name):
        raise CheckFailed(f"{name!r} is not the name of a ref")


def _stored(name: bytes, oid: bytes, pack: PackWriter) -> bytes:
    if oid not in pack:
        raise CheckFailed(f"ref {name.decode('utf-8', 'backslashreplace')} names {oid.hex()!r}, which is not stored")
    return oid


@contextmanager
def _growing(directory: Path) -> Iterator[Path]:
    """A folder of this process alone. It gets the directory's name when the block ends, and is deleted if it fails."""
    directory = directory.resolve()
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise UsageError(f"{directory} exists and is not an empty directory; choose another")
    partial = directory.with_name(f".{directory.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(lock, directory)
        for left in partial.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()
        try:
            yield partial
            partial.rename(directory)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    finally:
        os.close(lock)


@contextmanager
def _full_disk_reported(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DirectoryFailed(str(directory), os.strerror(error.errno)) from error


def _lock(descriptor: int, directory: Path) -> None:
    """Lock the folder until the descriptor is closed, at the latest by the end of the process."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"another process is restoring to {directory}; wait for it or stop it") from None
