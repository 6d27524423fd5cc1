"""Storage in a folder of this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pipeline.storage.errors import AlreadyThere, FileMissing, StorageError, UploadMismatch
from pipeline.storage.exclusive import rename_exclusively
from pipeline.storage.interface import Entry, Storage, Uploaded
from pipeline.storage.paths import check_path, join, temporary_name
from pipeline.storage.sent import Sent


class LocalStorage(Storage):
    """Storage below a folder, which need not exist yet; its file system must support hard links.

    Writes are on disk when a method returns: files and their folders are synchronised.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.abspath(root))

    def __repr__(self) -> str:
        return f"LocalStorage({str(self._root)!r})"

    @property
    def root_uri(self) -> str:
        """The folder as ``file:///folder``."""
        return f"file://{self._root}"

    def stat(self, path: str) -> Entry | None:
        """See ``Storage.stat``."""
        with _translated(path):
            try:
                return _entry(path, os.stat(self._file(path, root_allowed=True)))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def list(self, path: str = "") -> list[Entry]:
        """See ``Storage.list``."""
        found: list[Entry] = []
        with _translated(path), suppress(FileNotFoundError), os.scandir(self._file(path, root_allowed=True)) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    found.append(_entry(join(path, entry.name), entry.stat()))
        return sorted(found, key=lambda entry: entry.path)

    def open(self, path: str) -> BinaryIO:
        """See ``Storage.open``."""
        with _translated(path):
            return open(f"{self._root}/{check_path(path)}", "rb")

    def read(self, path: str) -> bytes:
        """See ``Storage.read``."""
        with _translated(path):
            return self._file(path).read_bytes()

    def create(self, path: str, data: bytes) -> None:
        """See ``Storage.create``."""
        with self._staged(path, [data]) as temporary:
            self._land(temporary, path)

    def replace(self, path: str, data: bytes) -> None:
        """See ``Storage.replace``."""
        with self._staged(path, [data]) as temporary, _translated(path):
            target = self._file(path)
            if target.is_dir():
                raise AlreadyThere(path)
            os.replace(temporary, target)
            _sync(target.parent)

    def upload(self, local: Path, path: str) -> Uploaded:
        """See ``Storage.upload``."""
        with local.open("rb") as source:
            if self.stat(path) is not None:
                raise AlreadyThere(path)
            sent = Sent(source)
            with self._staged(path, sent) as temporary:
                with temporary.open("rb") as stored:
                    found = hashlib.file_digest(stored, "sha256").hexdigest()
                if found != sent.sha256:
                    raise UploadMismatch(path, sent.sha256, found)
                self._land(temporary, path)
        return Uploaded(path=path, size_bytes=sent.size_bytes, sha256=found)

    def rename(self, src: str, dst: str) -> None:
        """See ``Storage.rename``."""
        source, target = self._file(src), self._file(dst)
        if not os.path.lexists(source):
            raise FileMissing(src)
        self._make_parent(dst)
        try:
            rename_exclusively(source, target)
        except FileNotFoundError as error:
            raise FileMissing(src) from error
        except FileExistsError as error:
            raise AlreadyThere(dst) from error
        except OSError as error:
            raise StorageError(src, f"cannot become {dst}: {error.strerror}") from error
        with _translated(dst):
            _sync(target.parent)
            _sync(source.parent)

    def delete(self, path: str, *, recursive: bool = False) -> bool:
        """See ``Storage.delete``."""
        file = self._file(path)
        with _translated(path):
            try:
                if not file.is_dir() or file.is_symlink():
                    file.unlink()
                elif recursive:
                    shutil.rmtree(file)
                else:
                    file.rmdir()
                _sync(file.parent)
            except (FileNotFoundError, NotADirectoryError):
                return False
        return True

    def _file(self, path: str, *, root_allowed: bool = False) -> Path:
        return self._root / check_path(path, root_allowed=root_allowed)

    def _make_parent(self, path: str) -> None:
        try:
            self._file(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(path, f"its folder cannot be made: {error.strerror}") from error

    @contextmanager
    def _staged(self, path: str, chunks: Iterable[bytes]) -> Iterator[Path]:
        """A temporary file with these bytes next to the path, deleted at the end unless it was renamed."""
        temporary = self._file(temporary_name(check_path(path)))
        self._make_parent(path)
        try:
            with _translated(path), temporary.open("xb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            with suppress(OSError):
                temporary.unlink()

    def _land(self, temporary: Path, path: str) -> None:
        """Give a staged file its name by a hard link, which the kernel refuses if the name is taken."""
        target = self._file(path)
        try:
            os.link(temporary, target)
        except FileExistsError as error:
            raise AlreadyThere(path) from error
        except OSError as error:
            raise StorageError(path, f"cannot be linked: {error.strerror}") from error
        with _translated(path):
            _sync(target.parent)


def _entry(path: str, status: os.stat_result) -> Entry:
    is_dir = stat.S_ISDIR(status.st_mode)
    return Entry(path, 0 if is_dir else status.st_size, is_dir, status.st_mtime)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileMissing(path) from error
    except OSError as error:
        raise StorageError(path, error.strerror or str(error)) from error
