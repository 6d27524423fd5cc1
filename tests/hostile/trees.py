"""Trees that git would not write, and small packs of trees that name more paths than there are atoms."""

from __future__ import annotations

from functools import partial

from tests.hostile.spec import (
    ABSENT,
    EXACT,
    INCOMPLETE,
    MAIN,
    NOTHING,
    OVER_LIMIT,
    Made,
    Refs,
    add_repository,
    repository,
)

PATHS = (EXACT, OVER_LIMIT)
"""Outcomes of trees with few objects and very many paths: they are archived, or the visit exceeds a limit."""

ENTRIES: dict[str, list[tuple[str | bytes, str | bytes]]] = {
    "file_mode_of_11_digits": [("00000100644", "a")],
    "file_mode_of_200_digits": [("7" * 194 + "100644", "a")],
    "file_mode_of_32_bits_and_more": [("40000000000100644", "a")],
    "file_mode_zero": [("0", "a")],
    "file_modes_of_every_format": [(f"{kind:o}0644", f"f{kind}") for kind in range(0, 64, 2)],
    "file_name_dot_git": [("100644", ".git"), ("100644", ".GIT"), ("100644", "git~1")],
    "file_name_dots": [("100644", ".."), ("100644", "."), ("100644", "...")],
    "file_name_with_slash": [("100644", "a/b"), ("100644", "/etc/passwd"), ("100644", "../../x")],
    "file_name_with_line_ends": [("100644", "a\nb\r\nc"), ("100644", "\x1b[2J")],
    "file_name_not_utf8": [("100644", b"\xff\xfe"), ("100644", b"caf\xe9"), ("100644", b"\xed\xa0\x80")],
    "file_name_of_64_kb": [("100644", "n" * 65_536)],
    "file_name_of_4_mb": [("100644", "n" * 4_000_000)],
    "file_names_twice": [("100644", "a"), ("100755", "a"), ("120000", "a")],
    "file_names_unsorted": [("100644", "b"), ("100644", "a"), ("100644", "A")],
    "file_names_that_differ_in_case": [("100644", "A"), ("100644", "a")],
    "file_extensions_odd": [("100644", "a." + "x" * 10_000), ("100644", "."), ("100644", "a."), ("100644", ".a. .")],
}
"""Entries of one tree; all name one ordinary blob."""

DIRECTORY_MODES = {
    "padded": "040000",
    "of_11_digits": "00000040000",
    "of_40_digits": "0" * 35 + "40000",
    "of_32_bits_and_more": "400000040000",
    "with_permissions": "40755",
}

DAMAGE = {
    "cut_inside_an_id": b"100644 a\0" + b"1" * 19,
    "cut_inside_a_name": b"100644 nam",
    "cut_inside_a_mode": b"1006",
    "with_a_mode_of_letters": b"10064x a\0" + b"1" * 20,
    "with_a_mode_of_nines": b"100999 a\0" + b"1" * 20,
    "without_a_mode": b" a\0" + b"1" * 20,
    "with_a_nameless_entry": b"100644 \0" + b"1" * 20,
    "without_nul": b"x" * 1000,
    "with_a_line_end_behind": b"\n",
    "with_zeros_behind": bytes(100),
    "of_a_megabyte_of_digits": b"1" * 1_000_000,
}
"""Bytes that follow one good entry."""


def _files(entries: list[tuple[str | bytes, str | bytes]], made: Made) -> Refs:
    blob = made.blob()
    return {MAIN: made.commit(made.tree(*((mode, name, blob) for mode, name in entries))), b"refs/heads/b": blob}


def _directory(mode: str, made: Made) -> Refs:
    inner = made.tree(("100644", "inside", made.blob(b"below an odd mode\n")))
    return {MAIN: made.commit(made.tree((mode, "directory", made.tree((mode, "directory", inner)))))}


def _damaged(tail: bytes, made: Made) -> Refs:
    good = b"100644 good\0" + bytes.fromhex(made.blob())
    return {MAIN: made.commit(made.put("tree", good + tail))}


for name, entry_list in ENTRIES.items():
    add_repository(f"tree_{name}", partial(_files, entry_list), EXACT)
for name, mode_digits in DIRECTORY_MODES.items():
    add_repository(f"tree_directory_mode_{name}", partial(_directory, mode_digits), EXACT)
for name, damage in DAMAGE.items():
    add_repository(f"tree_{name}", partial(_damaged, damage), EXACT, INCOMPLETE)


@repository(INCOMPLETE)
def tree_without_a_subtree(made: Made) -> Refs:
    return {MAIN: made.commit(made.tree(("40000", "d", ABSENT)))}


@repository(INCOMPLETE)
def tree_without_a_subtree_below_a_long_mode(made: Made) -> Refs:
    """Git reads eleven digits and more; the objects behind such entries must be there, too."""
    return {MAIN: made.commit(made.tree(("000000000040000", "d", ABSENT)))}


@repository(INCOMPLETE)
def tree_without_a_blob(made: Made) -> Refs:
    return {MAIN: made.commit(made.tree(("100644", "f", ABSENT)))}


@repository(INCOMPLETE, EXACT)
def tree_with_an_entry_of_zeros(made: Made) -> Refs:
    return {MAIN: made.commit(made.tree(("100644", "f", NOTHING)))}


@repository(EXACT)
def tree_with_submodules_of_every_kind(made: Made) -> Refs:
    """A submodule's commit may be absent, or be any object that is there."""
    blob, commit = made.blob(), made.commit()
    entries = [("160000", "absent", ABSENT), ("160000", "blob", blob), ("160000", "commit", commit)]
    return {MAIN: made.commit(made.tree(*entries, ("160000", "nothing", NOTHING))), b"refs/heads/b": commit}


@repository(EXACT, INCOMPLETE)
def tree_that_calls_a_tree_a_file(made: Made) -> Refs:
    inner = made.files()
    return {MAIN: made.commit(made.tree(("100644", "file", inner), ("40000", "directory", inner)))}


@repository(EXACT, INCOMPLETE)
def tree_that_calls_a_blob_a_directory(made: Made) -> Refs:
    blob = made.blob()
    return {MAIN: made.commit(made.tree(("40000", "directory", blob), ("100644", "file", blob)))}


@repository(EXACT, INCOMPLETE)
def tree_that_calls_a_commit_a_directory(made: Made) -> Refs:
    commit = made.commit()
    return {MAIN: made.commit(made.tree(("40000", "directory", commit)), commit)}


@repository(EXACT)
def tree_empty_everywhere(made: Made) -> Refs:
    nothing = made.tree()
    return {MAIN: made.commit(made.tree(("40000", "a", nothing), ("40000", "b", made.tree(("40000", "c", nothing)))))}


def _nested(made: Made, levels: int, width: int, name: str = "") -> Refs:
    """Each level has ``width`` entries, all for the same tree below."""
    at, kind = made.blob(), "100644"
    for _ in range(levels):
        at, kind = made.tree(*((kind, f"{name}{number}", at) for number in range(width))), "40000"
    return {b"HEAD": (tip := made.commit(at)), MAIN: tip}


@repository(*PATHS)
def tree_bomb_of_nested_trees(made: Made) -> Refs:
    """Under a kilobyte of pack, ten levels of ten: ten thousand million paths."""
    return _nested(made, 10, 10)


@repository(*PATHS)
def tree_bomb_of_binary_trees(made: Made) -> Refs:
    """64 levels of two."""
    return _nested(made, 64, 2)


@repository(*PATHS)
def tree_bomb_of_long_names(made: Made) -> Refs:
    """Few but long paths: 4,096, with 12 names of 30 kB in each."""
    return _nested(made, 12, 2, "n" * 30_000)


@repository(*PATHS)
def tree_bomb_of_one_wide_tree(made: Made) -> Refs:
    """300 thousand files with the same blob in one tree, and that tree four times."""
    blob = made.blob()
    wide = made.tree(*(("100644", f"{number}", blob) for number in range(300_000)))
    top = made.tree(*(("40000", f"{number}", wide) for number in range(4)))
    return {b"HEAD": (tip := made.commit(top)), MAIN: tip}


@repository(*PATHS)
def tree_of_5_000_levels(made: Made) -> Refs:
    """One file far down: a path of 10 kB, and 25 MB of paths if every directory is kept."""
    return _nested(made, 5_000, 1)


@repository(*PATHS)
def tree_bomb_below_a_submodule_mode(made: Made) -> Refs:
    """The same nested trees, with modes of many digits and odd permissions."""
    at, kind = made.blob(), "100644"
    for level in range(12):
        at, kind = made.tree(*((kind, f"{number}", at) for number in range(9))), f"{'0' * level}40{level % 8}00"
    return {b"HEAD": (tip := made.commit(at)), MAIN: tip}


@repository(EXACT, OVER_LIMIT)
def tree_new_in_each_of_2_000_commits(made: Made) -> Refs:
    """Every commit changes one of 100 files in a big directory: large trees in a small pack."""
    blobs = [made.blob(b"%d\n" % number) for number in range(100)]
    parents: tuple[str, ...] = ()
    for number in range(500):
        files = [("100644", f"{at:03}", blobs[(at * number) % 100]) for at in range(100)]
        parents = (made.commit(made.tree(*files), *parents),)
    return {b"HEAD": parents[0], MAIN: parents[0]}
