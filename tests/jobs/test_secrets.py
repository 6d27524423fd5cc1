"""The search for credentials; all of these are made up."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from jobs.secrets import MOST_FINDINGS, Finding, find_secrets, look_through

MADE_UP = {
    "aws access key": b"AKIA" + b"Q7" * 8,
    "github token": b"ghp_" + b"aB3" * 12,
    "github fine-grained token": b"github_pat_" + b"1" * 22 + b"_" + b"x" * 59,
    "gitlab token": b"glpat-" + b"a_-b" * 5,
    "slack token": b"xoxb-" + b"1234567890-abc",
    "stripe key": b"sk_live_" + b"9z" * 12,
    "google api key": b"AIza" + b"x_-Y0" * 7,
    "npm token": b"npm_" + b"q" * 36,
    "pypi token": b"pypi-" + b"AgEIcHlwaS5vcmc" + b"z" * 60,
    "sendgrid key": b"SG." + b"s" * 22 + b"." + b"t" * 43,
    "hugging face token": b"hf_" + b"h" * 34,
    "private key": b"-----BEGIN RSA " + b"PRIVATE KEY-----\n" + b"MIIE" * 5,
}


@pytest.mark.parametrize("kind", list(MADE_UP))
def test_each_kind_is_found_and_masked(kind: str) -> None:
    secret = MADE_UP[kind]
    (found,) = find_secrets(b"a\nb\nkey = '" + secret + b"'\n")
    assert (found.line, found.kind) == (3, kind)
    shown = found.masked.partition("…")[0]
    assert secret.startswith(shown.encode())
    assert len(shown) <= 11


@pytest.mark.parametrize(
    "text",
    [
        b"AKIA" + b"q" * 16,
        b"ghp_short",
        b"-----BEGIN PUBLIC KEY-----\nMIIEMIIEMIIEMIIEMIIE",
        b"xAKIA" + b"Q" * 16,
        b"\0\xff",
    ],
)
def test_what_only_looks_like_one(text: bytes) -> None:
    assert list(find_secrets(text)) == []


def test_a_key_inside_json() -> None:
    text = b'{"k": "-----BEGIN ' + b'PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0B"}'
    assert list(find_secrets(text)) == [Finding(1, "private key", "…")]


def test_rows_name_file_and_line_and_their_number_is_bounded(session: SparkSession) -> None:
    token = MADE_UP["github token"]
    frame = session.createDataFrame(
        [
            (5, b"o1", "config.py", True, b"\n" + token),
            (5, b"o2", "none", False, b""),
            (6, b"o3", "many", False, (token + b" ") * 2000),
        ],
        "network bigint, oid binary, name string, at_head boolean, content binary",
    )
    types = "network bigint, oid binary, name string, at_head boolean, line bigint, kind string, masked string"
    rows = frame.mapInArrow(look_through, types).orderBy("network").collect()
    assert tuple(rows[0]) == (5, b"o1", "config.py", True, 2, "github token", "ghp_… (40 characters)")
    assert len(rows) == 1 + MOST_FINDINGS
    assert not any("aB3" in str(row) for row in rows)
