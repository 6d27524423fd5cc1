"""An annotated tag as columns from which its exact bytes can be rebuilt."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.model.errors import CheckFailed
from pipeline.model.headers import Person, decoded, fold, format_person, parse_person, split_body, take_single, unfold
from pipeline.model.links import TagLink, tag_link
from pipeline.model.text import exact_text, text_of


class Tag(NamedTuple):
    """One annotated tag object: the columns of ``tags``, in the same order.

    Attributes:
        target: 20 bytes; the tagged object, as ``tag_link`` reads it from any bytes.
        target_type: commit, tree, blob or tag.
        tagger_name: None in old tags, which have no tagger line; then the tagger's other columns are None too.
        tagger_time: epoch seconds UTC, in the years 1970 to 9999.
        tagger_offset: minutes east of UTC.
        message: with the signature that git appends to it, if any.
        signature: value of the only ``gpgsig`` header, unfolded; git writes one only when converting object formats.
        extra: all other headers in order, unfolded.
        raw: None when the object can be rebuilt exactly from the other columns, else the whole body. Then the other
            columns hold what could be read, for people: "" or None where nothing could. Only the first lines of very
            long headers are read, and only the beginning of a very long message.
    """

    target: bytes | None
    target_type: str
    name: str
    tagger_name: str | None
    tagger_email: str | None
    tagger_time: int | None
    tagger_offset: int | None
    message: str
    signature: str | None
    extra: list[tuple[str, str]]
    raw: bytes | None


def parse_tag(raw: bytes) -> Tag:
    """Read a tag's body. Succeeds on any bytes; see ``Tag.raw``. Needs a small multiple of the body's memory."""
    link = tag_link(raw)
    body = split_body(raw, link.end)
    head, message = exact_text(body.head), exact_text(body.message)
    if head is None or message is None:
        return _for_people(raw, link, body.head.decode("latin-1"), body.message, whole=body.whole)
    tag = _columns(link, head, message, whole=body.whole)
    if body.whole and _is_complete(tag) and raw[: link.end].islower() and _head(tag) == f"{head}\n":
        return tag
    return tag._replace(raw=raw)


def build_tag(tag: Tag) -> bytes:
    """The exact body that ``parse_tag`` read.

    Raises:
        CheckFailed: there are no raw bytes, and a column needed in their place is missing.
    """
    if tag.raw is not None:
        return tag.raw
    if not _is_complete(tag):
        raise CheckFailed("a tag without raw bytes lacks its target or its tagger's time")
    target = (tag.target or b"").hex()
    return f"object {target}\n{_head(tag)}\n{tag.message}".encode()


def _columns(link: TagLink, head: str, message: str, *, whole: bool) -> Tag:
    headers = unfold(head.split("\n"))
    target_type = name = ""
    tagger: tuple[str | None, str | None, int | None, int | None] = (None, None, None, None)
    at = 0
    if link.target is None and headers[at:] and headers[at][0] == "object":
        at += 1
    if headers[at:] and headers[at][0] == "type":
        target_type = headers[at][1]
        at += 1
    if headers[at:] and headers[at][0] == "tag":
        name = headers[at][1]
        at += 1
    if headers[at:] and headers[at][0] == "tagger":
        tagger = parse_person(headers[at][1])
        at += 1
    extra = headers[at:] if whole else []
    signature = take_single(extra, "gpgsig")
    return Tag(link.target, target_type, name, *tagger, message, signature, extra, None)


def _is_complete(tag: Tag) -> bool:
    dated = tag.tagger_time is not None and tag.tagger_offset is not None
    return tag.target is not None and (tag.tagger_name is None or dated)


def _head(tag: Tag) -> str:
    """The headers after the target."""
    tagger = ""
    if tag.tagger_name is not None:
        person = Person(tag.tagger_name, tag.tagger_email or "", tag.tagger_time, tag.tagger_offset)
        tagger = f"tagger {format_person(person)}\n"
    rest = "".join([fold(name, value) for name, value in tag.extra])
    if tag.signature is not None:
        rest += fold("gpgsig", tag.signature)
    return f"type {tag.target_type}\ntag {tag.name}\n{tagger}{rest}"


def _for_people(raw: bytes, link: TagLink, head: str, message: memoryview, *, whole: bool) -> Tag:
    """Columns for bytes that no text column can hold exactly, ``head`` in Latin-1; a tag declares no encoding."""
    tag = _columns(link, head, "", whole=whole)
    return tag._replace(
        target_type=decoded(tag.target_type, None),
        name=decoded(tag.name, None),
        tagger_name=None if tag.tagger_name is None else decoded(tag.tagger_name, None),
        tagger_email=None if tag.tagger_email is None else decoded(tag.tagger_email, None),
        message=text_of(message),
        signature=None if tag.signature is None else decoded(tag.signature, None),
        extra=[(decoded(name, None), decoded(value, None)) for name, value in tag.extra],
        raw=raw,
    )
