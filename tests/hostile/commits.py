"""Commits that git would not write, but any server may send."""

from __future__ import annotations

from functools import partial

from tests.hostile.spec import (
    ABSENT,
    EXACT,
    INCOMPLETE,
    MAIN,
    NOTHING,
    OVER_LIMIT,
    WHO,
    Made,
    Refs,
    add_repository,
    repository,
)

AUTHOR, COMMITTER = b"author " + WHO, b"committer " + WHO

ENCODINGS = {
    "utf7_lone_surrogates": (b"UTF-7", b"+2AA- +3AA-\xff\n"),
    "utf16": (b"UTF-16", b"\xff\xfe\x00\xd8\x00"),
    "utf16_le_surrogates": (b"UTF-16LE", b"\x00\xd8\x00\xdc\x00\xdc"),
    "utf32_too_large": (b"UTF-32BE", b"\x00\x11\x00\x00\xff\xff\xff\xff"),
    "utf8_sig": (b"utf-8-sig", b"\xef\xbb\xbf\xed\xa0\x80"),
    "idna": (b"idna", b"xn--" + b"a" * 60_000 + b"\xff"),
    "punycode": (b"punycode", b"a-" + b"9" * 60_000 + b"\xff"),
    "unicode_escape": (b"unicode_escape", rb"\ud800\udfff\N{DIGIT ONE}" + b"\xff"),
    "raw_unicode_escape": (b"raw-unicode-escape", rb"\ud800" + b"\xff"),
    "base64": (b"base64", b"////\xff"),
    "zlib": (b"zlib", b"x\x9c\xff"),
    "rot13": (b"rot13", b"\xe9"),
    "undefined": (b"undefined", b"\xe9"),
    "mbcs": (b"mbcs", b"\xe9"),
    "hz": (b"hz", b"~{\xff~~{~"),
    "iso2022_kr": (b"iso2022_kr", b"\x1b$)C\x0e\xff\x0f"),
    "iso2022_jp_ext": (b"iso2022_jp_ext", b"\x1b$B\xff\x1b"),
    "gb18030_high": (b"gb18030", b"\x84\x31\xa4\x37\xff\xff\xff\xff"),
    "johab": (b"johab", b"\xda\xa1\xff"),
    "cp037": (b"cp037", b"\x25\x15\x00\xff"),
    "unknown": (b"x-none/../../etc", b"\xe9"),
    "empty": (b"", b"\xe9"),
    "with_nul": (b"utf-8\0utf-7", b"\xe9"),
    "of_a_megabyte": (b"x" * 1_000_000, b"\xe9"),
    "not_ascii": (b"\xff\xfe\xed\xa0\x80", b"\xe9"),
}
"""A declared encoding, and a message that is not UTF-8, so that it is decoded as declared."""

HEADERS = {
    "parent_zz_then_absent": [b"tree %t", b"parent zz", b"parent " + ABSENT.encode(), AUTHOR, COMMITTER],
    "parent_in_capitals": [b"tree %t", b"parent %P", AUTHOR, COMMITTER],
    "parent_with_blanks_inside": [b"tree %t", b"parent 11 11 " + b"1" * 36, AUTHOR, COMMITTER],
    "parent_with_two_blanks": [b"tree %t", b"parent  %p", AUTHOR, COMMITTER],
    "parent_of_64_digits": [b"tree %t", b"parent " + b"1" * 64, AUTHOR, COMMITTER],
    "parent_of_39_digits": [b"tree %t", b"parent " + b"1" * 39, AUTHOR, COMMITTER],
    "parent_with_tail": [b"tree %t", b"parent %p ", AUTHOR, COMMITTER],
    "parent_with_carriage_return": [b"tree %t\r", b"parent %p\r", AUTHOR, COMMITTER],
    "parent_in_fullwidth_digits": [b"tree %t", "parent \uff11\uff11".encode() + b"1" * 34, AUTHOR, COMMITTER],
    "parent_after_author": [b"tree %t", AUTHOR, b"parent " + ABSENT.encode(), COMMITTER],
    "parent_in_message": [b"tree %t", AUTHOR, COMMITTER, b"", b"parent " + ABSENT.encode()],
    "parent_folded": [b"tree %t", b"parent %p", b" " + ABSENT.encode(), AUTHOR, COMMITTER],
    "no_tree": [b"parent %p", AUTHOR, COMMITTER],
    "tree_in_capitals": [b"tree %T", AUTHOR, COMMITTER],
    "two_trees": [b"tree %t", b"tree " + ABSENT.encode(), AUTHOR, COMMITTER],
    "tree_after_parent": [b"parent %p", b"tree " + ABSENT.encode(), AUTHOR, COMMITTER],
    "only_a_tree": [b"tree %t"],
    "noise": [b"\xff\x00\x01 tree", b" ", b"\0", b"parent"],
    "two_authors": [b"tree %t", AUTHOR, AUTHOR, COMMITTER],
    "no_people": [b"tree %t", b"parent %p"],
    "committer_first": [b"tree %t", COMMITTER, AUTHOR],
    "header_without_name": [b"tree %t", AUTHOR, COMMITTER, b" continues nothing", b"", b" x"],
    "fold_at_once": [b"tree %t", b" folded", b"parent %p", AUTHOR, COMMITTER],
    "two_encodings": [b"tree %t", AUTHOR, COMMITTER, b"encoding UTF-7", b"encoding latin1", b"x \xff"],
    "two_signatures": [b"tree %t", AUTHOR, COMMITTER, b"gpgsig a", b" b", b"gpgsig", b" c", b"gpgsig-sha256 d"],
    "other_line_ends": [b"tree %t", AUTHOR, COMMITTER, "x a\u2028b\u0085c\vd\fe\x1cf\rg".encode()],
}
"""Header lines with %t and %p for a tree and a parent that exist, %T and %P for the same in capitals."""

PEOPLE = {
    "date_negative": b"A <a@b> -1 +0000",
    "date_of_64_bits": b"A <a@b> 18446744073709551615 +0000",
    "date_of_a_megabyte": b"A <a@b> " + b"9" * 1_000_000 + b" +0000",
    "date_past_9999": b"A <a@b> 253402300800 +0000",
    "date_in_other_digits": "A <a@b> ١٢٣ +0000".encode(),
    "date_with_underscore": b"A <a@b> 1_000 +0000",
    "date_with_sign_and_blanks": b"A <a@b>  +1  +0000",
    "zone_of_a_week": b"A <a@b> 1 +9999",
    "zone_of_51800": b"A <a@b> 1 -051800",
    "zone_minus_zero": b"A <a@b> 1 -0000",
    "zone_is_text": b"A <a@b> 1 CEST",
    "no_email": b"A 1 +0000",
    "email_unclosed": b"A <a@b 1 +0000",
    "emails_nested": b"A <<a> <b>> > <c> 1 +0000",
    "nothing": b"",
    "name_of_a_megabyte": b"A" * 1_000_000 + b" <a@b> 1 +0000",
    "name_of_right_to_left": "\u202egro.live\u202c\ufeff <a@b> 1 +0000".encode(),
    "name_of_controls": b"\x1b]0;owned\x07\x1b[2J <a@b> 1 +0000",
}


def _encoded(encoding: bytes, message: bytes, made: Made) -> Refs:
    return {MAIN: made.commit(headers=b"encoding " + encoding + b"\n", message=message)}


def _headed(lines: list[bytes], made: Made) -> Refs:
    tree = made.files().encode()
    parent = made.commit(message=b"a parent\n").encode()
    names = ((b"%t", tree), (b"%p", parent), (b"%T", tree.upper()), (b"%P", parent.upper()))
    whole = b"\n".join(lines)
    for name, oid in names:
        whole = whole.replace(name, oid)
    return {MAIN: made.commit_of(*whole.split(b"\n")), b"refs/heads/parent": parent.decode()}


def _written_by(person: bytes, made: Made) -> Refs:
    return {MAIN: made.commit(author=person, committer=person)}


for name, declared in ENCODINGS.items():
    add_repository(f"commit_encoding_{name}", partial(_encoded, *declared), EXACT)
for name, header_lines in HEADERS.items():
    absent = any(ABSENT.encode() in line or b"11" in line for line in header_lines)
    outcomes = (EXACT, INCOMPLETE) if absent else (EXACT,)
    add_repository(f"commit_{name}", partial(_headed, header_lines), *outcomes)
for name, who in PEOPLE.items():
    add_repository(f"commit_{name}", partial(_written_by, who), EXACT)


@repository(EXACT)
def commit_empty(made: Made) -> Refs:
    """A commit of no bytes at all."""
    return {MAIN: made.put("commit", b"")}


@repository(EXACT, OVER_LIMIT)
def commit_of_66_mb_of_header_lines(made: Made) -> Refs:
    """80 kB of pack become 33 million header lines; one tuple per line would take gigabytes."""
    return {MAIN: made.commit(headers=b"a\n" * 33_000_000)}


@repository(EXACT, OVER_LIMIT)
def commit_of_66_mb_of_folded_lines(made: Made) -> Refs:
    """One endless header."""
    return {MAIN: made.commit(headers=b"a b\n" + b" \n" * 33_000_000)}


@repository(EXACT, OVER_LIMIT)
def tag_of_66_mb_of_header_lines(made: Made) -> Refs:
    return {b"refs/tags/v1": made.tag(made.commit(), headers=b"a\n" * 33_000_000)}


@repository(EXACT, OVER_LIMIT)
def commit_with_a_million_parents(made: Made) -> Refs:
    """The same parent each time, 48 MB of lines."""
    return {MAIN: made.commit(None, *[made.commit(message=b"parent\n")] * 1_000_000)}


@repository(INCOMPLETE, OVER_LIMIT)
def commit_with_a_million_absent_parents(made: Made) -> Refs:
    """All ids are different, and all are missing."""
    return {MAIN: made.commit(None, *(f"{number:040x}" for number in range(300_000)))}


@repository(EXACT)
def commit_with_100_000_signatures(made: Made) -> Refs:
    """Headers of one name, quadratic if each is compared with the others."""
    return {MAIN: made.commit(headers=b"gpgsig x\nencoding UTF-8\n" * 50_000, message=b"\xff\n")}


@repository(EXACT)
def commit_with_a_message_of_8_mb_that_is_not_text(made: Made) -> Refs:
    return {MAIN: made.commit(message=b"\xff\x00" * 4_000_000)}


@repository(EXACT)
def commit_with_a_message_of_one_long_line(made: Made) -> Refs:
    return {MAIN: made.commit(message=b"x" * 8_000_000)}


@repository(EXACT)
def commits_in_a_line_of_5_000(made: Made) -> Refs:
    """A history without branches, deeper than any recursion."""
    tree = made.files()
    tip = made.commit(tree)
    for _ in range(4_999):
        tip = made.commit(tree, tip)
    return {MAIN: tip}


@repository(EXACT, INCOMPLETE)
def commit_whose_tree_is_a_blob(made: Made) -> Refs:
    return {MAIN: made.commit(made.blob())}


@repository(EXACT, INCOMPLETE)
def commit_whose_tree_is_a_commit(made: Made) -> Refs:
    return {MAIN: made.commit(made.commit())}


@repository(EXACT, INCOMPLETE)
def commit_whose_parent_is_a_blob(made: Made) -> Refs:
    return {MAIN: made.commit(None, made.blob(b"no commit\n"))}


@repository(EXACT, INCOMPLETE)
def commit_whose_parent_is_a_tree(made: Made) -> Refs:
    return {MAIN: made.commit(None, made.files())}


@repository(EXACT, INCOMPLETE)
def commit_whose_parent_is_a_tag(made: Made) -> Refs:
    return {MAIN: made.commit(None, made.tag(made.commit()))}


@repository(INCOMPLETE)
def commit_without_its_tree(made: Made) -> Refs:
    return {MAIN: made.commit(ABSENT)}


@repository(INCOMPLETE)
def commit_without_its_parent(made: Made) -> Refs:
    return {MAIN: made.commit(None, ABSENT)}


@repository(INCOMPLETE, EXACT)
def commit_whose_parent_is_nothing(made: Made) -> Refs:
    """The id of forty zeros, which git does not take for an object."""
    return {MAIN: made.commit(None, NOTHING)}
