"""Git's object types in each of their forms."""

from __future__ import annotations

import pickle

import pytest

from pipeline.model.objects import BY_NUMBER, BY_WORD, SKELETON, ObjectType, object_id


@pytest.mark.parametrize(("number", "text"), [(1, "commit"), (2, "tree"), (3, "blob"), (4, "tag")])
def test_a_type_by_its_forms(number: int, text: str) -> None:
    type_ = BY_NUMBER[number]
    assert (type_.value, type_.text, type_.word) == (number, text, text.encode())
    assert type_.header % 7 == f"{text} 7\0".encode()
    assert BY_WORD[text.encode()] is type_
    assert pickle.loads(pickle.dumps(type_)) is type_


def test_the_skeleton_is_all_but_blobs() -> None:
    assert {*SKELETON, ObjectType.BLOB} == set(ObjectType)
    assert ObjectType.BLOB not in SKELETON


def test_ids_that_every_git_user_knows() -> None:
    assert object_id(ObjectType.TREE, b"").hex() == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    assert object_id(ObjectType.BLOB, b"").hex() == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
