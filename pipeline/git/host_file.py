"""The state of one host, in a file that all processes of a machine share, and the places of its conversations.

The kernel's locks keep changes apart, and say who holds a place: both end with their process, however that ends. What
is in the file survives it. A file that cannot be understood is a host about which nothing is known.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from pipeline.model.errors import ScratchFailed
from pipeline.rules.host_state import HostState

T = TypeVar("T")

UNUSED_S = 3 * 86_400
"""Seconds after which a host's file is deleted: longer than any state matters."""

_RECORD = struct.Struct("<4s6d5qI")
_MAGIC = b"hst2"
_AS_IT_IS = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}(?::[0-9]{1,5})?")
_STATE_BYTE, _FIRST_PLACE = 0, 4096
"""Bytes of the file that are locked, there or not."""


class HostFile:
    """The file of one host. One process has it open once, since its locks end when any descriptor of it is closed.

    Raises:
        ScratchFailed: it cannot be read or written.
    """

    def __init__(self, folder: Path, name: str) -> None:
        file = name if _AS_IT_IS.fullmatch(name) else sha256(name.encode(errors="replace")).hexdigest()
        self.path = folder / file
        try:
            self._descriptor = self._opened(folder)
        except OSError as error:
            raise self._failed(error) from error

    def change(self, step: Callable[[HostState, float], tuple[HostState, T]]) -> T:
        """Replace the state by what the step makes of it and of the time; returns the step's other result."""
        held = self._descriptor
        try:
            fcntl.lockf(held, fcntl.LOCK_EX, 1, _STATE_BYTE)
            try:
                data = os.pread(held, _RECORD.size, 0)
                state, result = step(_unpacked(data), time.time())
                packed = _packed(state)
                if packed != data:
                    os.pwrite(held, packed, 0)
            finally:
                fcntl.lockf(held, fcntl.LOCK_UN, 1, _STATE_BYTE)
        except OSError as error:
            raise self._failed(error) from error
        return result

    def take_place(self, places: int) -> bool:
        """Hold one of so many places until the file is closed; false if others hold all."""
        for place in range(places):
            with suppress(BlockingIOError, PermissionError):  # POSIX allows both for a lock that another process has
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _FIRST_PLACE + place)
                return True
        return False

    def close(self) -> None:
        """Give the place back."""
        os.close(self._descriptor)

    def _opened(self, folder: Path) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            return os.open(self.path, flags, 0o600)

    def _failed(self, error: OSError) -> ScratchFailed:
        return ScratchFailed(str(self.path), error.strerror or str(error))


def _packed(state: HostState) -> bytes:
    body = _RECORD.pack(_MAGIC, *state, 0)[:-4]
    return body + struct.pack("<I", zlib.crc32(body))


def _unpacked(data: bytes) -> HostState:
    if len(data) != _RECORD.size:
        return HostState()
    magic, *fields, checksum = _RECORD.unpack(data)
    return HostState(*fields) if magic == _MAGIC and checksum == zlib.crc32(data[:-4]) else HostState()
