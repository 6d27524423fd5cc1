"""A commit as columns from which its exact bytes can be rebuilt."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.model.errors import CheckFailed
from pipeline.model.headers import (
    NOBODY,
    Person,
    decoded,
    fold,
    format_person,
    parse_person,
    split_body,
    take_single,
    unfold,
)
from pipeline.model.links import CommitLinks, commit_links
from pipeline.model.text import exact_text, text_of


class Commit(NamedTuple):
    """One commit object: the columns of ``commits``, in the same order.

    Attributes:
        tree: 20 bytes; ``commit_links`` reads it and the parents, from any bytes.
        parents: 20 bytes each, in order.
        author_time: epoch seconds UTC, in the years 1970 to 9999; likewise for the committer.
        author_offset: minutes east of UTC; likewise for the committer.
        encoding: as declared; git itself does not declare "UTF-8".
        signature: value of the only ``gpgsig`` header, unfolded.
        extra: all other headers (``mergetag``, ``gpgsig-sha256``, ...) in order, unfolded.
        raw: None when the object can be rebuilt exactly from the other columns, else the whole body. Then the other
            columns hold what could be read, for people: "" or None where nothing could. Only the first lines of very
            long headers are read, and only the beginning of a very long message.
    """

    tree: bytes | None
    parents: list[bytes]
    author_name: str
    author_email: str
    author_time: int | None
    author_offset: int | None
    committer_name: str
    committer_email: str
    committer_time: int | None
    committer_offset: int | None
    message: str
    encoding: str | None
    signature: str | None
    extra: list[tuple[str, str]]
    raw: bytes | None


def parse_commit(raw: bytes) -> Commit:
    """Read a commit's body. Succeeds on any bytes; see ``Commit.raw``. Needs a small multiple of the body's memory."""
    links = commit_links(raw)
    body = split_body(raw, links.end)
    head, message = exact_text(body.head), exact_text(body.message)
    if head is None or message is None:
        return _for_people(raw, links, body.head.decode("latin-1"), body.message, whole=body.whole)
    commit = _columns(links, head, message, whole=body.whole)
    if body.whole and _is_complete(commit) and _is_canonical(raw, links) and _head(commit) == f"{head}\n":
        return commit
    return commit._replace(raw=raw)


def build_commit(commit: Commit) -> bytes:
    """The exact body that ``parse_commit`` read.

    Raises:
        CheckFailed: there are no raw bytes, and a column needed in their place is missing.
    """
    if commit.raw is not None:
        return commit.raw
    if not _is_complete(commit):
        raise CheckFailed("a commit without raw bytes lacks its tree, author or committer")
    parents = "".join([f"parent {parent.hex()}\n" for parent in commit.parents])
    tree = (commit.tree or b"").hex()
    return f"tree {tree}\n{parents}{_head(commit)}\n{commit.message}".encode()


def _columns(links: CommitLinks, head: str, message: str, *, whole: bool) -> Commit:
    lines = head.split("\n")
    count = len(lines)
    at = 0
    while at < count and lines[at].startswith(("tree ", "parent ")):
        at += 1
    author = committer = NOBODY
    if at < count and lines[at].startswith("author "):
        author = parse_person(lines[at][7:])
        at += 1
    if at < count and lines[at].startswith("committer "):
        committer = parse_person(lines[at][10:])
        at += 1
    encoding: str | None = None
    signature: str | None = None
    extra: list[tuple[str, str]] = []
    if at < count and whole:
        extra = unfold(lines[at:])
        encoding = take_single(extra, "encoding")
        signature = take_single(extra, "gpgsig")
    return Commit(links.tree, links.parents, *author, *committer, message, encoding, signature, extra, None)


def _is_complete(commit: Commit) -> bool:
    return (
        commit.tree is not None
        and commit.author_time is not None
        and commit.author_offset is not None
        and commit.committer_time is not None
        and commit.committer_offset is not None
    )


def _is_canonical(raw: bytes, links: CommitLinks) -> bool:
    """Whether the ids are in lower case, as git itself writes them."""
    return raw[: links.end].islower()


def _head(commit: Commit) -> str:
    """The headers after tree and parents, in git's own order: encoding before other headers, the signature last."""
    c = commit
    author = format_person(Person(c.author_name, c.author_email, c.author_time, c.author_offset))
    committer = format_person(Person(c.committer_name, c.committer_email, c.committer_time, c.committer_offset))
    rest = "" if c.encoding is None else fold("encoding", c.encoding)
    if c.extra:
        rest += "".join([fold(name, value) for name, value in c.extra])
    if c.signature is not None:
        rest += fold("gpgsig", c.signature)
    return f"author {author}\ncommitter {committer}\n{rest}"


def _for_people(raw: bytes, links: CommitLinks, head: str, message: memoryview, *, whole: bool) -> Commit:
    """Columns for bytes that no text column can hold exactly; ``head`` holds bytes as Latin-1."""
    c = _columns(links, head, "", whole=whole)
    code = c.encoding
    return c._replace(
        author_name=decoded(c.author_name, code),
        author_email=decoded(c.author_email, code),
        committer_name=decoded(c.committer_name, code),
        committer_email=decoded(c.committer_email, code),
        message=text_of(message, code),
        encoding=None if code is None else decoded(code, None),
        signature=None if c.signature is None else decoded(c.signature, code),
        extra=[(decoded(name, code), decoded(value, code)) for name, value in c.extra],
        raw=raw,
    )
