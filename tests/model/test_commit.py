from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.model.commit import Commit, build_commit, parse_commit
from pipeline.model.errors import CheckFailed
from tests.model.strategies import EMAILS, EXTRA, HOSTILE, MESSAGES, NAMES, OFFSETS, OIDS, SIGNATURES, TIMES
from tests.support.git import git, run_git

TREE = "tree " + "ab" * 20 + "\n"
PEOPLE = "author A U Thor <a@example.com> 1700000000 +0530\ncommitter C O Mitter <c@example.com> 1700000001 -0330\n"
PLAIN = (TREE + PEOPLE + "\nsubject\n").encode()

SIGNATURE = "-----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----"

COMMITS = st.builds(
    Commit,
    tree=OIDS,
    parents=st.lists(OIDS, max_size=4),
    author_name=NAMES,
    author_email=EMAILS,
    author_time=TIMES,
    author_offset=OFFSETS,
    committer_name=NAMES,
    committer_email=EMAILS,
    committer_time=TIMES,
    committer_offset=OFFSETS,
    message=MESSAGES,
    encoding=st.none() | st.sampled_from(["ISO-8859-1", "utf8", "EUC-JP"]),
    signature=SIGNATURES,
    extra=EXTRA,
    raw=st.none(),
)


@given(COMMITS)
def test_columns_alone_hold_what_git_writes(commit: Commit) -> None:
    assert parse_commit(build_commit(commit)) == commit


@given(HOSTILE)
@example(b"")
@example(b"\n\n")
def test_any_bytes_come_back_exactly(raw: bytes) -> None:
    commit = parse_commit(raw)
    assert build_commit(commit) == raw
    if commit.raw is None:
        assert commit.tree is not None
        assert commit.author_time is not None
        assert commit.committer_time is not None


def test_every_column() -> None:
    raw = (
        TREE
        + "parent "
        + "01" * 20
        + "\nparent "
        + "02" * 20
        + "\n"
        + PEOPLE
        + "encoding UTF-8\nmergetag object 03\n type commit\n \n tag message\ngpgsig -----BEGIN\n \n abc\n -----END\n"
        + "\nsubject\n\nbody\n"
    ).encode()
    commit = parse_commit(raw)
    assert commit == Commit(
        tree=b"\xab" * 20,
        parents=[b"\1" * 20, b"\2" * 20],
        author_name="A U Thor",
        author_email="a@example.com",
        author_time=1700000000,
        author_offset=330,
        committer_name="C O Mitter",
        committer_email="c@example.com",
        committer_time=1700000001,
        committer_offset=-210,
        message="subject\n\nbody\n",
        encoding="UTF-8",
        signature="-----BEGIN\n\nabc\n-----END",
        extra=[("mergetag", "object 03\ntype commit\n\ntag message")],
        raw=None,
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-0330", "-0000"),
        ("-0330", "-0375"),
        ("-0330", "+051800"),
        ("1700000001", "-1"),
        ("1700000001", "01700000001"),
        ("1700000001", "253402300800"),
        ("1700000001 -0330", ""),
        ("ab" * 20, "AB" * 20),
        ("ab" * 20, "ab" * 32),
        (" <c@example.com>", "<c@example.com>"),
        ("\n\nsubject\n", "\n"),
        ("subject", "sub\0ject"),
        ("committer", "comitter"),
        ("\n\nsubject", "\ngpgsig x\nmergetag y\n\nsubject"),
        ("\n\nsubject", "\ngpgsig\n\nsubject"),
    ],
)
def test_what_columns_cannot_hold_keeps_its_bytes(old: str, new: str) -> None:
    raw = PLAIN.replace(old.encode(), new.encode())
    assert raw != PLAIN
    commit = parse_commit(raw)
    assert commit.raw == raw
    assert commit.author_name == "A U Thor"


@pytest.mark.parametrize("time", ["-1", "253402300800", "9" * 5000, "٣", "1_0", ""])
def test_a_time_out_of_range_is_null(time: str) -> None:
    commit = parse_commit(PLAIN.replace(b"1700000001", time.encode()))
    assert commit.committer_time is None
    assert (commit.committer_name, commit.committer_email) == ("C O Mitter", "c@example.com")


def test_the_last_second_is_a_time() -> None:
    commit = parse_commit(PLAIN.replace(b"1700000001", b"253402300799"))
    assert (commit.committer_time, commit.raw) == (253402300799, None)


def test_an_odd_zone_leaves_the_time() -> None:
    commit = parse_commit(PLAIN.replace(b"-0330", b"+051800"))
    assert (commit.committer_time, commit.committer_offset) == (1700000001, None)


@pytest.mark.parametrize(
    ("encoding", "message", "text"),
    [
        ("ISO-8859-1", b"caf\xe9", "café"),
        ("latin1", b"caf\xe9", "café"),
        ("EUC-JP", b"\xc6\xfc", "日"),
        ("no-such-code", b"caf\xe9", "caf\ufffd"),
        ("hex", b"caf\xe9", "caf\ufffd"),
        ("../../x", b"caf\xe9", "caf\ufffd"),
        ("ISO-8859-1", "café".encode(), "café"),
    ],
)
def test_a_declared_encoding_is_read_for_people(encoding: str, message: bytes, text: str) -> None:
    raw = (TREE + PEOPLE + f"encoding {encoding}\n\n").encode() + message
    commit = parse_commit(raw)
    assert (commit.message, commit.encoding) == (text, encoding)
    assert commit.raw == (None if message == b"caf\xc3\xa9" else raw)


def test_undeclared_bytes_are_replaced_only_where_they_are_wrong() -> None:
    commit = parse_commit(PLAIN.replace(b"subject", b"\xe9 \xc3\xa9").replace(b"Thor", b"Th\xf6r"))
    assert commit.message == "\ufffd é\n"
    assert commit.author_name == "A U Th\ufffdr"
    assert commit.tree == b"\xab" * 20


def test_two_signatures_stay_headers() -> None:
    raw = (TREE + PEOPLE + "gpgsig one\ngpgsig two\n\nsubject\n").encode()
    commit = parse_commit(raw)
    assert (commit.signature, commit.extra, commit.raw) == (None, [("gpgsig", "one"), ("gpgsig", "two")], None)


def test_building_from_incomplete_columns_is_refused() -> None:
    with pytest.raises(CheckFailed):
        build_commit(parse_commit(PLAIN)._replace(tree=None))


def test_git_itself_writes_headers_in_the_order_that_columns_rebuild(tmp_path: Path) -> None:
    signer = tmp_path / "signer"
    script = f"#!/bin/sh\ncat >/dev/null\necho '[GNUPG:] SIG_CREATED ' >&2\ncat <<END\n{SIGNATURE}\nEND\n"
    signer.write_text(script)
    signer.chmod(0o700)
    work = tmp_path / "work"
    assert run_git("init", "-q", work).returncode == 0
    git(work, "commit", "-q", "--allow-empty", "-m", "base")
    git(work, "commit", "-q", "--allow-empty", "-m", "tagged")
    git(work, "-c", f"gpg.program={signer}", "tag", "-s", "-m", "release", "v1")
    git(work, "reset", "-q", "--hard", "HEAD^")
    settings = ("-c", f"gpg.program={signer}", "-c", "i18n.commitEncoding=EUC-JP")
    git(work, *settings, "merge", "-q", "--no-ff", "-S", "-m", "merge", "v1")
    commit = parse_commit(git(work, "cat-file", "commit", "HEAD"))
    assert [name for name, _ in commit.extra] == ["mergetag"]
    assert (commit.encoding, commit.signature, commit.raw) == ("EUC-JP", SIGNATURE, None)
