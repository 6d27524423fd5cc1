"""Git's objects: their four types, and how an object gets its id."""

from __future__ import annotations

from enum import IntEnum
from hashlib import sha1
from typing import Final, NamedTuple


class ObjectType(IntEnum):
    """A type of object; its value is its number in packs.

    Attributes:
        text: its name in messages.
        word: its name in tags.
        header: what git hashes before a body; takes the body's size.
    """

    COMMIT = 1
    TREE = 2
    BLOB = 3
    TAG = 4

    text: str
    word: bytes
    header: bytes

    def __init__(self, number: int) -> None:
        self.text = self.name.lower()
        self.word = self.text.encode()
        self.header = self.word + b" %d\0"


COMMIT, TREE, BLOB, TAG = ObjectType
"""Module names: looking a type up in its class takes ten times as long."""

SKELETON: Final = (COMMIT, TAG, TREE)
"""All types except blobs."""

BY_NUMBER: Final = {int(type_): type_ for type_ in ObjectType}
BY_WORD: Final = {type_.word: type_ for type_ in ObjectType}


class GitObject(NamedTuple):
    """An object: its 20-byte id, and the body that git hashes after a header."""

    type: ObjectType
    oid: bytes
    body: bytes


def object_id(type_: ObjectType, body: bytes) -> bytes:
    """The 20-byte id of an object."""
    found = sha1(type_.header % len(body), usedforsecurity=False)
    found.update(body)
    return found.digest()
