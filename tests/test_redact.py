"""How much of other people's text may be shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.git.errors import OriginError, ServerError
from pipeline.model import redact
from pipeline.model.redact import (
    arguments_without_secrets,
    is_secret_name,
    never_show,
    one_line,
    without_secrets,
)
from pipeline.model.visit import Visit, VisitStatus

S = "hunter2S3CRET"
VISIT = Visit(0, 0, "git://h/a", date(2026, 1, 1), "r", VisitStatus.FAILED, "x", "", datetime.now(UTC), 0, 0, 0)

HIDDEN = {
    f"at https://user:{S}@host/x now": "at https://... now",
    f"https://user:pa/ss{S}@host/x": "https://...",
    f"https://user:12/{S}@host/x": "https://...",
    f"https://user:{S}": "https://...",
    f"(https://{S}@host/x)": "(https://...",
    f"https://user%3A{S}%40host/x": "https://...",
    f"https://host/x?a={S}": "https://host/x?...",
    f"https://host:80/x#{S}": "https://host:80/x#...",
    f"url: /webhdfs/v1/x?op=OPEN&delegation={S}&user.name=me": "url: /webhdfs/v1/x?op=OPEN&delegation=...&user.name=me",
    f"user:{S}@host:x": "...",
    f"user:{S}\uff20host": "...",
    f'{{"token": "{S}"}}': '{"token": "..."}',
    f"Authorization: Basic {S}": "Authorization: Basic ...",
    f"sent Bearer {S}": "sent Bearer ...",
    f"--fs.s3a.secret.key={S}": "--fs.s3a.secret.key=...",
    f"-Djavax.net.ssl.keyStorePassword={S}": "-Djavax.net.ssl.keyStorePassword=...",
    f"was given --limit 3 --token {S} -x": "was given --limit 3 --token ... -x",
    f"password: {S}": "password: ...",
    f"ghp_{S}0123456789": "...",
}

SHOWN = [
    "https://host:8080/a/b.git",
    "ssh://git@example.org/repo.git: its visits will be refused",
    "hdfs://127.0.0.1:9000/archive",
    "http://[::1]:80/x",
    "hdfs.token: set it, or token_file, if and only if auth is 'token'",
    "file:///srv/a.git",
    "the author: me",
    "@contextmanager",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_what_may_be_a_login_is_hidden(text: str) -> None:
    assert without_secrets(text) == HIDDEN[text]
    assert S not in one_line(text)
    assert S not in without_secrets(f"Traceback:\n  {text}\n{text}")


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_none_is_shown(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.parametrize("text", [f"https://user:pa\n{S}@host/x", f"https://user:\t{S}@host/x", f"u:\r{S}@h"])
def test_a_line_end_inside_does_not_cut_a_login_in_two(text: str) -> None:
    assert S not in one_line(text)


@pytest.mark.parametrize("ahead", [0, 400, 480, 490, 3_990, 4_000, 10_000])
def test_nor_does_the_limit(ahead: int) -> None:
    for text in ("a " * (ahead // 2) + f"https://user:{S}@host/x", "a" * ahead + f"://user:{S}@host/x"):
        assert S[:5] not in one_line(text)


@given(st.text(max_size=3000), st.integers(10, 600))
def test_a_line_is_printable_and_short_whatever_it_is_made_of(text: str, most: int) -> None:
    line = one_line(text, most)
    assert line.isprintable()
    assert len(line) <= most
    assert one_line(line, most) == line or "..." in line


@pytest.mark.slow
def test_a_long_text_takes_no_long_time() -> None:
    """No pattern backtracks: a megabyte of text that begins every pattern and ends none."""
    for piece in ("a", "a.", "://", "a=", "token ", "eyJ", "https://", "basic ", "\uff20"):
        without_secrets(piece * (1_000_000 // len(piece)))


def test_no_way_leads_around_it_into_a_visit() -> None:
    for error in (OriginError, ServerError):
        told = error(f"\x1b[31mno https://u:pa/{S}@h/x {'long ' * 20_000}")
        assert S not in f"{told} {told!r} {told.why}"
        assert told.why.isprintable()
        assert len(told.why) <= 500
    detail = replace(VISIT, detail=f"\x1b https://u:{S}@h/ {'long ' * 20_000}").detail
    assert detail is not None
    assert detail.isprintable()
    assert len(detail) <= 500
    assert S not in detail


@pytest.mark.parametrize(
    "name", ["token", "spark.hadoop.fs.s3a.access.key", "API-Key", "X-Amz-Signature", "passwd", "pw"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["author", "monkey", "spark.sql.session.timeZone", "design", "p", "compass.north"])
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


def test_arguments() -> None:
    assert arguments_without_secrets(("--token", S, f"--password={S}", "--limit", "3")) == (
        "--token",
        "...",
        "--password=...",
        "--limit",
        "3",
    )


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_known", set())


@pytest.mark.usefixtures("nothing_known")
def test_a_secret_of_the_configuration_is_hidden_by_its_value() -> None:
    never_show(S)
    for plain in ("true", "kerberos", "1"):
        never_show(plain)
    assert without_secrets(f"true kerberos 1 {S}") == "true kerberos 1 ..."
