"""Annotated tags that lie, form chains or lead nowhere."""

from __future__ import annotations

from functools import partial

from tests.hostile.spec import ABSENT, EXACT, INCOMPLETE, OVER_LIMIT, WHO, Made, Refs, add_repository, repository

V1 = b"refs/tags/v1"

HEADERS = {
    "without_object": [b"type commit", b"tag v1", b"tagger " + WHO],
    "of_an_object_in_capitals": [b"object %C", b"type commit", b"tag v1", b"tagger " + WHO],
    "of_an_object_with_blanks": [b"object 11 11 " + b"1" * 36, b"type commit", b"tag v1", b"tagger " + WHO],
    "of_an_object_folded": [b"object %c", b" " + ABSENT.encode(), b"type commit", b"tag v1"],
    "of_two_objects": [b"object %c", b"object " + ABSENT.encode(), b"type commit", b"tag v1"],
    "whose_object_comes_late": [b"type commit", b"object %c", b"tag v1"],
    "of_no_type": [b"object %c", b"tag v1"],
    "of_an_unknown_type": [b"object %c", b"type \xff\xfe\n sub", b"tag v1"],
    "with_a_name_of_noise": [b"object %c", b"type commit", b"tag \xff\x00../../x", b"tagger " + WHO],
    "with_a_name_of_a_megabyte": [b"object %c", b"type commit", b"tag " + b"n" * 1_000_000, b"tagger " + WHO],
    "of_noise": [b"\0\0\xff"],
}


def _headed(lines: list[bytes], made: Made) -> Refs:
    commit = made.commit().encode()
    whole = b"\n".join(lines).replace(b"%c", commit).replace(b"%C", commit.upper())
    return {V1: made.put("tag", whole + b"\n\ntagged\n"), b"refs/heads/main": commit.decode()}


for name, header_lines in HEADERS.items():
    absent = any(ABSENT.encode() in line or b"11" in line for line in header_lines)
    add_repository(f"tag_{name}", partial(_headed, header_lines), *((EXACT, INCOMPLETE) if absent else (EXACT,)))


@repository(EXACT)
def tag_empty(made: Made) -> Refs:
    return {V1: made.put("tag", b"")}


@repository(EXACT)
def tag_that_calls_a_blob_a_commit(made: Made) -> Refs:
    return {V1: made.tag(made.blob(), "commit")}


@repository(EXACT)
def tag_that_calls_a_commit_a_tree(made: Made) -> Refs:
    return {V1: made.tag(made.commit(), "tree")}


@repository(INCOMPLETE)
def tag_without_its_target(made: Made) -> Refs:
    return {V1: made.tag(ABSENT)}


def _chain(made: Made, length: int) -> list[str]:
    tip, made_tags = made.commit(), []
    for number in range(length):
        tip = made.tag(tip, "tag" if number else "commit", f"v{number}")
        made_tags.append(tip)
    return made_tags


@repository(EXACT)
def tags_of_tags_10_000_deep(made: Made) -> Refs:
    """A chain deeper than any recursion, with a ref at its end."""
    return {V1: _chain(made, 10_000)[-1]}


@repository(EXACT, OVER_LIMIT)
def tags_of_tags_with_a_ref_on_each(made: Made) -> Refs:
    """6,000 refs whose tags are peeled through one another: 18 million steps if done one by one."""
    return {b"refs/tags/v%d" % number: oid for number, oid in enumerate(_chain(made, 6_000))}


@repository(EXACT)
def tag_of_a_tag_of_a_tree_as_head(made: Made) -> Refs:
    """HEAD is not a commit, even when peeled."""
    tip = made.tag(made.tag(made.files(), "tree"), "tag", "v2")
    return {b"HEAD": tip, V1: tip}
