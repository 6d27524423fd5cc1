"""`pipeline forges crawl` of GitHub with a token: moved HEADs become signals, and the token goes to the forge alone."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.model import redact
from pipeline.model.tables import ORIGINS
from pipeline.tables.iceberg import full_name
from tests.e2e.archive import Archive, Place
from tests.support.forges import Forge, Repo, response, said, serving
from tests.support.github_graphql import GraphQL
from tests.support.sockets import Line, listening
from tests.support.written import Written

OF_ENVIRONMENT, OF_FILE = "S3cr3tOfEnvironment", "S3cr3tOfFile"


def as_basic(token: str) -> str:
    return base64.b64encode(f"x-access-token:{token}".encode()).decode()


SECRETS = [each for token in (OF_ENVIRONMENT, OF_FILE) for each in (token, as_basic(token))]


def login_of(request: bytes) -> str | None:
    """What a request has as ``Authorization``."""
    fields = dict(line.split(b": ", 1) for line in request.splitlines() if b": " in line)
    found = fields.get(b"Authorization")
    return None if found is None else found.decode()


@pytest.mark.slow
@pytest.mark.usefixtures("one_spark")
def test_heads_that_moved_are_signals_and_the_token_goes_to_the_forge_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(redact, "_known", set())
    monkeypatch.setenv("FORGE_TOKEN", OF_ENVIRONMENT)
    (tmp_path / "token").write_text(f"{OF_FILE}\n")
    forge = Forge(sized=2)
    both, branch, before, *_ = repos = [forge.create() for _ in range(5)]
    written, elsewhere = Written(), list[bytes]()

    def other(line: Line) -> None:
        while request := line.read_head():
            elsewhere.append(request)
            line.send(response(b"", "404 Not Found"))

    with serving(forge) as served, listening(other, "http") as server:
        graphql = GraphQL(forge)
        served.questions = lambda document: said(graphql.answer(document))
        host = f'hosts."{served.host}"'
        of_environment = Archive.at(
            Place("local", str(tmp_path / "archives")), tmp_path / "settings", "archive",
            forges__f={"kind": "github", "url": served.url, "full_days": 0}, log={"level": "DEBUG"},
            **{host: {"requests_per_second": 1000, "token_env": "FORGE_TOKEN"}},
        )  # fmt: skip
        of_environment.init()
        of_file = Archive(of_environment.location, tmp_path / "settings" / "file", dict(of_environment.settings))
        of_file.settings[host] = {"requests_per_second": 1000, "token_file": str(tmp_path / "token")}
        of_file.folder.mkdir()
        of_file.write_config()

        def say(archive: Archive, *words: str, code: int = 0) -> str:
            done = archive.run(*words, code=code)
            printed = capfd.readouterr()  # by processes that list
            name = f"{len(written.texts)}: {' '.join(words)}"
            written.texts[name] = "\n".join((done.stdout, done.stderr, printed.out, printed.err))
            return written.texts[name]

        def crawled(archive: Archive, code: int = 0) -> dict[str, Any]:
            said = say(archive, "forges", "crawl", "f", "--output", "json", code=code)
            assert "f: " in said or not code, "what the processes log is seen"
            return of_environment.ask("forges", "status", "f")[0]

        def signals() -> dict[str, list[str] | None]:
            return {row["url"]: row["signals"] for row in of_environment.ask("origins", "list")}

        def url(repo: Repo) -> str:
            return forge.url(repo).removesuffix(".git")

        first = crawled(of_environment)
        assert (first["over"], first["listed"], first["merged"]) == (True, 5, {"new": 5, "origins": 5})
        assert {login_of(each) for each in served.heads} == {f"Bearer {OF_ENVIRONMENT}"}
        assert graphql.asked == [2, 2, 1]

        served.heads.clear()
        served.trouble = lambda number, path: response(b"", "302 Found", Location=server.url(path.strip("/")))
        say(of_environment, "nightly", "--night", str(datetime.now(UTC).date()))
        assert {login_of(each) for each in served.heads} == {f"Basic {as_basic(OF_ENVIRONMENT)}"}
        assert len(elsewhere) == len(repos), "visits follow redirects"
        assert {login_of(each) for each in elsewhere} == {None}
        assert set(signals().values()) == {None}

        of_environment.spark.sql(f"UPDATE {full_name(ORIGINS.name)} SET failures = 0, last_visit = now()")
        served.heads.clear()
        served.trouble = lambda number, path: None
        forge.change(both.id, pushes=1, changed=datetime.now(UTC))
        forge.change(branch.id, pushes=1)
        forge.push(before.id)  # by its time before the visit
        assert crawled(of_file)["merged"] == {"signalled": 2}
        assert {login_of(each) for each in served.heads} == {f"Bearer {OF_FILE}"}
        moved = {url(both): ["head", "updated"], url(branch): ["head"]}
        assert signals() == dict.fromkeys(map(url, repos)) | moved

        # From here on nothing is listed to its end, and what was listed stays beside the table.
        asked = len(elsewhere)
        for path in ("/repositories", "/graphql"):
            served.trouble = lambda number, at, path=path: (  # type: ignore[misc]
                response(b"", "307 Temporary", Location=server.url("x")) if at.startswith(path) else None
            )
            say(of_environment, "forges", "crawl", "f", code=1)
            assert "(protocol)" in list(written.texts.values())[-1]
        assert len(elsewhere) == asked, "listings are not led elsewhere"
        for archive, token in ((of_environment, OF_ENVIRONMENT), (of_file, OF_FILE)):
            told = response(f'{{"message": "no: {token}"}}'.encode(), f"401 No {token}", X_You=token)
            for path in ("/repositories", "/graphql"):
                served.trouble = lambda number, at, path=path, told=told: told if at.startswith(path) else None  # type: ignore[misc]
                assert "(login_required)" in say(archive, "forges", "crawl", "f", code=1)
        say(of_file, "forges", "status", "f")
        say(of_file, "status", url(both))
        say(of_file, "origins", "why", url(both))
        for table in ("origins", "visits"):
            say(of_file, "sql", f"SELECT * FROM {table}", "--output", "json")

    for folder in (tmp_path / "archives", tmp_path / "settings"):
        written.folder(folder)
    assert any("page-" in name and name.endswith("rows") for name in written.texts), "pages of the last pass are seen"
    assert any("origins" in name and name.endswith("rows") for name in written.texts)
    found = [(name, secret) for name, text in written.texts.items() for secret in SECRETS if secret in text]
    assert found == []
