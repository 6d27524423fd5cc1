"""Text for people from bytes that anybody may have written: always valid Unicode without NUL, in linear time.

All text in columns that comes from outside is made here. Where text cannot reproduce the exact bytes, a ``raw`` column
beside it holds them.
"""

from __future__ import annotations

import re
from codecs import charmap_decode
from encodings.aliases import aliases
from functools import cache
from typing import Final

_REPLACEMENT: Final = "\ufffd"
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_NOT_IN_NAMES: Final = re.compile("[^0-9a-z]")
_LONGEST_NAME: Final = 40

# What repositories really declare: iconv's names for the encodings that editors and consoles wrote before UTF-8. Left
# out are codecs that yield lone surrogates (UTF-7), do not keep ASCII (UTF-16, UTF-32, EBCDIC), unescape or compress.
_ONE_BYTE: Final = frozenset(
    {
        "latin_1",
        *(f"iso8859_{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)),
        *(f"cp125{page}" for page in range(9)),
        *(f"cp{page}" for page in (437, 850, 852, 866, 874)),
        "koi8_r",
        "koi8_u",
        "mac_roman",
        "tis_620",
    }
)
_MANY_BYTES: Final = frozenset(
    {
        "gb18030",
        "gbk",
        "gb2312",
        "big5",
        "big5hkscs",
        "cp950",
        "shift_jis",
        "cp932",
        "euc_jp",
        "iso2022_jp",
        "euc_kr",
        "cp949",
    }
)
CODECS: Final = _ONE_BYTE | _MANY_BYTES


def text_of(raw: bytes | memoryview, encoding: str | None = None) -> str:
    """Bytes as text, in the declared encoding if it is one of ``CODECS``, else as UTF-8.

    Bytes that do not fit, and NUL, become U+FFFD.
    """
    codec = None if encoding is None else _codec(encoding)
    if codec is None:
        text = str(raw, "utf-8", "replace")
    elif codec in _ONE_BYTE:
        text = charmap_decode(raw, "strict", _characters(codec))[0]
    else:
        text = str(raw, codec, "replace")
    return valid_text(text)


def valid_text(text: str) -> str:
    """The text with NUL and lone surrogates, which no table and no encoder accepts, replaced by U+FFFD."""
    if _SURROGATES.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", _REPLACEMENT)


def exact_text(raw: bytes | memoryview) -> str | None:
    """UTF-8 as text that encodes to the same bytes; None if it is not UTF-8, or has a NUL."""
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def text_and_raw(name: bytes) -> tuple[str, bytes | None]:
    """A name as text, and its bytes if the text cannot reproduce them."""
    text = exact_text(name)
    return (text_of(name), name) if text is None else (text, None)


def _codec(encoding: str) -> str | None:
    return _known_names().get(_NOT_IN_NAMES.sub("", encoding.lower())) if len(encoding) <= _LONGEST_NAME else None


@cache
def _known_names() -> dict[str, str]:
    """Codecs by all their names, in lower case without punctuation: ``ISO_8859-1`` and ``iso8859-1`` are one."""
    named = {name: codec for name, codec in aliases.items() if codec in CODECS} | {codec: codec for codec in CODECS}
    return {_NOT_IN_NAMES.sub("", name): codec for name, codec in named.items()}


@cache
def _characters(codec: str) -> str:
    """The character of each byte."""
    return "".join(bytes([byte]).decode(codec, "replace") for byte in range(256))
