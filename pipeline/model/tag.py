"""An annotated tag as columns that rebuild its exact bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.errors import CheckFailed
from pipeline.model.headers import Person, decoded, fold, format_person, parse_oid, parse_person, take_single, unfold


@dataclass(frozen=True, slots=True)
class Tag:
    """One annotated tag object.

    Attributes:
        target: 20 bytes; the object that is tagged.
        target_type: commit, tree, blob or tag.
        tagger_name: None in old tags, which have no tagger line; then the tagger's other columns are None too.
        tagger_time: epoch seconds UTC, in the years 1970 to 9999.
        tagger_offset: minutes east of UTC.
        message: with the signature that git appends to it, if any.
        signature: value of the only ``gpgsig`` header, unfolded; git writes one only when converting object formats.
        extra: all other headers in order, unfolded.
        raw: None when the other columns rebuild the object exactly, else the whole body. Then the other columns are
            what could be read, for people: "" or None where nothing could.
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
    """Read a tag's body. Succeeds on any bytes; see ``Tag.raw``."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return _for_people(raw)
    if "\0" in text:
        return _for_people(raw)
    tag = _columns(text)
    if _is_complete(tag) and _text(tag) == text:
        return tag
    return replace(tag, raw=raw)


def build_tag(tag: Tag) -> bytes:
    """The exact body that ``parse_tag`` read.

    Raises:
        CheckFailed: there are no raw bytes, yet a column that they would have to replace is missing.
    """
    if tag.raw is not None:
        return tag.raw
    if not _is_complete(tag):
        raise CheckFailed("a tag without raw bytes lacks its target or its tagger's time")
    return _text(tag).encode()


def _columns(text: str) -> Tag:
    head, _, message = text.partition("\n\n")
    headers = unfold(head.split("\n"))
    target: bytes | None = None
    target_type = name = ""
    tagger: tuple[str | None, str | None, int | None, int | None] = (None, None, None, None)
    at = 0
    if headers[at:] and headers[at][0] == "object":
        target = parse_oid(headers[at][1])
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
    extra = headers[at:]
    signature = take_single(extra, "gpgsig")
    return Tag(target, target_type, name, *tagger, message, signature, extra, None)


def _is_complete(tag: Tag) -> bool:
    dated = tag.tagger_time is not None and tag.tagger_offset is not None
    return tag.target is not None and (tag.tagger_name is None or dated)


def _text(tag: Tag) -> str:
    tagger = ""
    if tag.tagger_name is not None:
        person = Person(tag.tagger_name, tag.tagger_email or "", tag.tagger_time, tag.tagger_offset)
        tagger = f"tagger {format_person(person)}\n"
    rest = "".join([fold(name, value) for name, value in tag.extra])
    if tag.signature is not None:
        rest += fold("gpgsig", tag.signature)
    target = (tag.target or b"").hex()
    return f"object {target}\ntype {tag.target_type}\ntag {tag.name}\n{tagger}{rest}\n{tag.message}"


def _for_people(raw: bytes) -> Tag:
    """Columns for bytes that no text column can hold exactly; a tag declares no encoding."""
    tag = _columns(raw.decode("latin-1"))
    return replace(
        tag,
        target_type=decoded(tag.target_type, None),
        name=decoded(tag.name, None),
        tagger_name=None if tag.tagger_name is None else decoded(tag.tagger_name, None),
        tagger_email=None if tag.tagger_email is None else decoded(tag.tagger_email, None),
        message=decoded(tag.message, None),
        signature=None if tag.signature is None else decoded(tag.signature, None),
        extra=[(decoded(name, None), decoded(value, None)) for name, value in tag.extra],
        raw=raw,
    )
