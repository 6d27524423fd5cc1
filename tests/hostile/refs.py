"""Refs that git would not create, shown by a server that does not care."""

from __future__ import annotations

from functools import partial

from tests.hostile.spec import (
    ABSENT,
    EXACT,
    INCOMPLETE,
    LEFT_OUT,
    MAIN,
    NOTHING,
    OBJECT_FORMAT,
    OVER_LIMIT,
    PROTOCOL,
    Made,
    Outcome,
    Refs,
    add_repository,
    repository,
)

FUNNY = {
    "two_dots": b"refs/heads/a..b",
    "up_and_out": b"refs/heads/../../../escape",
    "leading_dot": b"refs/heads/.hidden",
    "leading_dot_inside": b"refs/heads/a/.hidden/b",
    "lock": b"refs/heads/main.lock",
    "lock_inside": b"refs/heads/main.lock/b",
    "trailing_dot": b"refs/heads/main.",
    "trailing_slash": b"refs/heads/main/",
    "double_slash": b"refs/heads//main",
    "empty_branch": b"refs/heads/",
    "at_brace": b"refs/heads/a@{1}",
    "tilde": b"refs/heads/a~1",
    "caret": b"refs/heads/a^b",
    "colon": b"refs/heads/a:b",
    "question_mark": b"refs/heads/a?b",
    "star": b"refs/heads/a*",
    "bracket": b"refs/heads/a[b",
    "backslash": b"refs/heads/a\\b",
    "control": b"refs/heads/a\x01b",
    "escape": b"refs/heads/\x1b[2J",
    "tab": b"refs/heads/a\tb",
    "delete": b"refs/heads/a\x7fb",
    "carriage_return": b"refs/heads/a\rb",
}
"""Names that ``git check-ref-format`` refuses and ``git clone`` ignores."""

PLAIN = {
    "at_sign": b"refs/heads/@",
    "head": b"refs/heads/HEAD",
    "refs": b"refs/heads/refs/heads/main",
    "dash": b"refs/heads/-rf",
    "not_utf8": b"refs/heads/caf\xe9\xff",
    "surrogate": b"refs/heads/\xed\xa0\x80",
    "no_break_space": "refs/heads/a\u00a0b\u2028c".encode(),
    "quotes": b"refs/heads/a'\"`$(id);b",
    "percent": b"refs/heads/%2e%2e%00",
    "case": b"refs/heads/MAIN",
    "id": b"refs/heads/" + b"1" * 40,
}
"""Names that look odd but are valid: git takes them."""


def _also(name: bytes, made: Made) -> Refs:
    tip = made.commit()
    return {b"HEAD": tip, MAIN: tip, name: tip}


for label, funny in FUNNY.items():
    add_repository(f"ref_funny_{label}", partial(_also, funny), LEFT_OUT, left_out=(funny,))
for label, plain in PLAIN.items():
    add_repository(f"ref_odd_{label}", partial(_also, plain), EXACT)


@repository(EXACT, PROTOCOL)
def ref_with_a_space(made: Made) -> Refs:
    """The rest of the line could be attributes."""
    made.lines = [f"{made.commit()} refs/heads/main\n".encode(), f"{made.commit()} refs/heads/a b\n".encode()]
    return {MAIN: made.commit()}


@repository(EXACT, LEFT_OUT, PROTOCOL)
def ref_with_a_nul(made: Made) -> Refs:
    made.lines = [f"{made.commit()} refs/heads/main\n".encode(), f"{made.commit()} refs/heads/a\0b\n".encode()]
    return {MAIN: made.commit()}


@repository(EXACT, OVER_LIMIT)
def ref_with_a_name_of_60_kb(made: Made) -> Refs:
    return {MAIN: (tip := made.commit()), b"refs/heads/" + b"n" * 60_000: tip}


@repository(EXACT, OVER_LIMIT)
def ref_with_20_000_folders(made: Made) -> Refs:
    return {MAIN: (tip := made.commit()), b"refs/heads/" + b"a/" * 20_000 + b"a": tip}


@repository(EXACT)
def refs_that_are_file_and_folder(made: Made) -> Refs:
    """No file system can hold both, and git refuses the second."""
    tip = made.commit()
    return {b"refs/heads/a": tip, b"refs/heads/a/b": tip, MAIN: tip}


@repository(EXACT)
def refs_by_100_000(made: Made) -> Refs:
    tip = made.commit()
    return {b"refs/heads/b%06d" % number: tip for number in range(100_000)}


@repository(EXACT, PROTOCOL)
def ref_twice_with_different_ids(made: Made) -> Refs:
    one, two = made.commit(), made.commit(message=b"other\n")
    made.lines = [f"{one} refs/heads/main\n".encode(), f"{two} refs/heads/main\n".encode()]
    return {MAIN: two, b"refs/heads/other": one}


@repository(INCOMPLETE)
def ref_to_an_absent_object(made: Made) -> Refs:
    return {MAIN: made.commit(), b"refs/heads/gone": ABSENT}


@repository(INCOMPLETE, PROTOCOL)
def ref_to_nothing(made: Made) -> Refs:
    """Forty zeros."""
    return {MAIN: made.commit(), b"refs/heads/nothing": NOTHING}


def _shown(line: bytes, made: Made) -> Refs:
    tip = made.commit()
    made.lines = [line.replace(b"%c", tip.encode()).replace(b"%C", tip.upper().encode())]
    if line in NO_REFS:
        made.objects.clear()
    return {MAIN: tip}


LINES: dict[str, tuple[tuple[Outcome, ...], bytes]] = {
    "id_in_capitals": ((PROTOCOL,), b"%C refs/heads/main\n"),
    "id_of_39_digits": ((PROTOCOL,), b"1" * 39 + b" refs/heads/main\n"),
    "id_of_64_digits": ((OBJECT_FORMAT,), b"1" * 64 + b" refs/heads/main\n"),
    "id_of_letters": ((PROTOCOL,), b"z" * 40 + b" refs/heads/main\n"),
    "id_with_blanks": ((EXACT, PROTOCOL), b"  %c refs/heads/main\n"),
    "id_alone": ((PROTOCOL,), b"%c\n"),
    "line_without_end": ((EXACT,), b"%c refs/heads/main"),
    "line_with_carriage_return": ((LEFT_OUT, EXACT, PROTOCOL), b"%c refs/heads/main\r\n"),
    "line_of_junk_attributes": ((LEFT_OUT, EXACT, PROTOCOL), b"%c refs/heads/main junk:x symref-target: peeled:\n"),
    "line_peeled_to_junk": ((EXACT, PROTOCOL), b"%c refs/heads/main peeled:zz\n"),
    "line_peeled_to_absent": ((EXACT, PROTOCOL), b"%c refs/heads/main peeled:" + ABSENT.encode() + b"\n"),
    "line_peeled_twice": ((EXACT, PROTOCOL), b"%c refs/heads/main peeled:%c peeled:%c\n"),
    "line_of_version_0": ((LEFT_OUT, EXACT, PROTOCOL), b"%c refs/heads/main\0multi_ack side-band-64k\n"),
    "line_empty": ((EXACT, PROTOCOL), b"\n"),
    "line_unborn": ((EXACT,), b"unborn HEAD symref-target:refs/heads/main\n"),
    "line_unborn_without_target": ((EXACT, PROTOCOL), b"unborn HEAD\n"),
    "line_unborn_branch": ((EXACT, PROTOCOL), b"unborn refs/heads/x symref-target:refs/heads/y\n"),
    "line_unborn_of_a_funny_target": ((LEFT_OUT, EXACT, PROTOCOL), b"unborn HEAD symref-target:../../etc/passwd\n"),
    "line_of_peeled_name": ((EXACT, PROTOCOL), b"%c refs/heads/main^{}\n"),
}
NO_REFS = frozenset(
    line
    for label, (_, line) in LINES.items()
    if "unborn" in label
    or label
    in ("id_with_blanks", "line_of_peeled_name", "line_empty", "line_with_carriage_return", "line_of_version_0")
)
"""Lines that show no ref that could be fetched."""

for label, (line_outcomes, shown) in LINES.items():
    add_repository(f"ref_{label}", partial(_shown, shown), *line_outcomes)


def _symbolic(name: bytes, target: bytes, made: Made) -> Refs:
    """An ordinary branch, and a symbolic ref to its own commit."""
    tip, other = made.commit(), made.commit(message=b"only the symbolic ref leads here\n")
    made.symrefs[name] = target
    return {MAIN: tip, name: other}


SYMREFS = {
    "head_outside_what_is_fetched": (b"HEAD", b"refs/hidden/main"),
    "head_to_a_branch_not_shown": (b"HEAD", b"refs/heads/not-shown"),
    "head_to_itself": (b"HEAD", b"HEAD"),
    "head_to_a_funny_name": (b"HEAD", b"refs/heads/a..b"),
    "head_up_and_out": (b"HEAD", b"../../../etc/passwd"),
    "head_to_a_target_not_utf8": (b"HEAD", b"refs/heads/caf\xe9\xff"),
    "head_to_a_target_of_50_kb": (b"HEAD", b"refs/heads/" + b"n" * 50_000),
    "head_to_a_branch_elsewhere": (b"HEAD", b"refs/heads/main"),
    "branch_to_tag": (b"refs/heads/alias", b"refs/tags/v1"),
    "branch_to_itself": (b"refs/heads/alias", b"refs/heads/alias"),
    "branch_to_head": (b"refs/heads/alias", b"HEAD"),
    "branch_outside_what_is_fetched": (b"refs/heads/alias", b"refs/remotes/origin/main"),
    "branch_to_a_funny_name": (b"refs/heads/alias", b"refs/heads/a~1"),
}
FUNNY_TARGETS = ("head_to_a_funny_name", "head_up_and_out", "branch_to_a_funny_name")

for label, symref in SYMREFS.items():
    add_repository(f"symref_{label}", partial(_symbolic, *symref), LEFT_OUT if label in FUNNY_TARGETS else EXACT)


@repository(EXACT)
def symrefs_in_a_circle(made: Made) -> Refs:
    tip = made.commit()
    made.symrefs |= {b"refs/heads/a": b"refs/heads/b", b"refs/heads/b": b"refs/heads/a", b"HEAD": b"refs/heads/a"}
    return {b"refs/heads/a": tip, b"refs/heads/b": tip, b"HEAD": tip, MAIN: tip}


@repository(EXACT)
def symrefs_in_a_chain_of_1_000(made: Made) -> Refs:
    """Git follows five."""
    tip = made.commit()
    made.symrefs |= {b"refs/heads/%d" % n: b"refs/heads/%d" % (n + 1) for n in range(1_000)}
    return {b"refs/heads/%d" % n: tip for n in range(1_001)} | {b"HEAD": tip}


@repository(EXACT)
def head_detached_at_a_tree(made: Made) -> Refs:
    return {b"HEAD": made.files(), MAIN: made.commit()}


@repository(EXACT)
def head_detached_at_a_tag(made: Made) -> Refs:
    return {b"HEAD": made.tag(made.commit()), MAIN: made.commit()}


@repository(EXACT)
def head_that_no_branch_leads_to(made: Made) -> Refs:
    return {b"HEAD": made.commit(message=b"detached\n"), MAIN: made.commit()}


@repository(EXACT)
def refs_of_nothing_at_all(made: Made) -> Refs:
    """An empty repository whose server does not mention an unborn HEAD."""
    return {}
