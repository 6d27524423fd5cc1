"""Metrics arrive where they are wanted, and their failure is nobody else's."""

from __future__ import annotations

import os
import time
from base64 import b64encode
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from pipeline.context.archive import FORMAT
from pipeline.context.config import BadConfiguration, Config, MetricsSection, load_config
from pipeline.context.workplace import Workplace
from pipeline.model.errors import ExitCode, ScratchFailed, UsageError
from pipeline.model.layout import ARCHIVE
from pipeline.storage.lease_record import ArchiveHeld, Owner
from pipeline.storage.local import LocalStorage
from pipeline.workflows.loads import RunFailed
from pipeline.workflows.metrics import known
from pipeline.workflows.metrics.delivery import ARCHIVE_FILE, deliver, file_of
from pipeline.workflows.metrics.run import CommandMetrics, deliver_copy, delivering, measured
from tests.support.nobody import nobody
from tests.workflows.metrics.gateway import gateway
from tests.workflows.metrics.reading import read

VALUES: known.Values = {known.NIGHTS: {(): 3}, known.TABLE_ROWS: {("blobs",): 5}}
OF_ARCHIVE = {ARCHIVE_FILE: VALUES}
ENDING_FILE = file_of("nightly")
SERIES = [("git_lakehouse_nights", (), 3.0), ("git_lakehouse_table_rows", (("table", "blobs"),), 5.0)]


def settings(**keys: object) -> MetricsSection:
    return MetricsSection.model_validate(keys)


def test_a_push_goes_to_its_group_and_leaves_other_metrics() -> None:
    with gateway() as server:
        deliver(settings(pushgateway=server.url(), job="the night/a"), OF_ARCHIVE)
        deliver(settings(pushgateway=f"{server.url()}/below/"), OF_ARCHIVE)
    first, second = server.pushed
    assert (first.method, first.login, read(first.text)) == ("POST", None, SERIES)
    assert first.path == "/metrics/job@base64/dGhlIG5pZ2h0L2E="
    assert second.path == "/below/metrics/job/git-lakehouse"


def test_only_what_is_about_the_machine_has_an_instance() -> None:
    with gateway() as server:
        deliver(
            settings(pushgateway=server.url(), instance="crawl-1"),
            {ARCHIVE_FILE: VALUES | {known.SCRATCH_FREE: {(): 7}}},
        )
    archive, machine = server.pushed
    assert (archive.path, read(archive.text)) == ("/metrics/job/git-lakehouse", SERIES)
    assert machine.path == "/metrics/job/git-lakehouse/instance/crawl-1"
    assert read(machine.text) == [("git_lakehouse_scratch_free_bytes", (), 7.0)]


def test_a_login_is_sent_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    section = settings(pushgateway="http://night:p%40ss-w0rd%2F1@127.0.0.1:1")
    assert "w0rd" not in repr(Config(metrics=section)) + Config(metrics=section).model_dump_json()
    assert {"p@ss-w0rd/1", "p%40ss-w0rd%2F1"} <= set(Config(metrics=section).secrets)
    with gateway() as server:
        mine = section.model_copy(update={"pushgateway": SecretStr(server.url("night:p%40ss-w0rd%2F1@"))})
        deliver(mine, OF_ARCHIVE)
        server.status = 401
        deliver(mine, OF_ARCHIVE)
    assert server.pushed[0].login == f"Basic {b64encode(b'night:p@ss-w0rd/1').decode()}"
    assert f"metrics were not pushed to http://127.0.0.1:{server.port}: HTTP Error 401" in caplog.text
    assert "w0rd" not in caplog.text


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_gets_neither_metrics_nor_login(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with gateway() as elsewhere, gateway(status, elsewhere.url()) as server:
        deliver(settings(pushgateway=server.url("u:S3CRETx1@")), OF_ARCHIVE)
    assert (len(server.pushed), elsewhere.pushed) == (1, [])
    assert f"HTTP Error {status}" in caplog.text


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with gateway() as proxy, gateway() as server:
        monkeypatch.setenv("http_proxy", proxy.url())
        deliver(settings(pushgateway=server.url()), OF_ARCHIVE)
    assert (len(server.pushed), proxy.pushed) == (1, [])


def test_what_fails_is_a_warning_and_the_other_is_delivered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / ARCHIVE_FILE
    with nobody("http") as refuses:
        deliver(settings(pushgateway=refuses.url(""), textfiles=tmp_path), OF_ARCHIVE)
    assert "metrics were not pushed to http://127.0.0.1:" in caplog.text
    assert read(file.read_text()) == SERIES
    with gateway() as server:
        deliver(settings(pushgateway=server.url(), textfiles=tmp_path / "gone"), OF_ARCHIVE)
    assert len(server.pushed) == 1
    assert f"metrics were not written to {tmp_path}/gone: No such file or directory" in caplog.text


def test_a_file_is_replaced_at_once_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / ARCHIVE_FILE
    file.write_text("old")
    seen: list[str] = []
    rename = os.rename

    def looking(source: str, target: str) -> None:
        seen.extend((Path(source).parent.name, file.read_text()))
        rename(source, target)

    monkeypatch.setattr(os, "rename", looking)
    deliver(settings(textfiles=tmp_path), OF_ARCHIVE)
    assert seen == [tmp_path.name, "old"]
    assert read(file.read_text()) == SERIES

    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    deliver(settings(textfiles=tmp_path), {ARCHIVE_FILE: {}})
    assert "No space left on device" in caplog.text
    assert read(file.read_text()) == SERIES
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_may_be_read_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        deliver(settings(textfiles=tmp_path), OF_ARCHIVE | {ENDING_FILE: {known.NIGHTLY_EXIT_CODE: {(): 0}}})
    finally:
        os.umask(before)
    assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {
        ARCHIVE_FILE: 0o644, ENDING_FILE: 0o644,
    }  # fmt: skip


@pytest.mark.parametrize(
    "url", ["ftp://h", "http://", "h:9091", "http://h:port", "http://h:0", "http://u:S3CRETx1@h/?a", "http://[::1"]
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f'[metrics]\npushgateway = "{url}"\n')
    with pytest.raises(BadConfiguration) as caught:
        load_config(tmp_path / "c.toml")
    assert "it must be http:// or https://" in str(caught.value)
    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("listen", "good"),
    [("", True), ("127.0.0.1:0", True), ("[::1]:9470", True), ("host.example:9470", True), (":9470", False),
     ("9470", False), ("http://h:1", False), ("::1:9470", False), ("h:65535", True), ("h:65536", False)],
)  # fmt: skip
def test_addresses_of_endpoints(listen: str, good: bool) -> None:
    if good:
        assert settings(listen=listen).listen == listen
    else:
        with pytest.raises(ValidationError):
            settings(listen=listen)


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    storage = LocalStorage(tmp_path / "archive")
    text = f'{{"format": {FORMAT}, "buckets": 4, "created_at": "2026-11-01T00:00:00Z"}}'
    storage.create(ARCHIVE, text.encode())
    return Workplace(Config(metrics=settings(textfiles=tmp_path)), storage)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ScratchFailed("/x", "full"), 5), (ZeroDivisionError(), 5), (RunFailed("n", [(2, "a token")]), 2),
        (ArchiveHeld(Owner("r1", "h", 7), 9.0), None), (UsageError("in the future"), None),
    ],
)  # fmt: skip
def test_a_failure_is_delivered_unless_it_is_of_another_run_or_of_the_caller(
    place: Workplace, tmp_path: Path, error: Exception, code: int | None
) -> None:
    with pytest.raises(type(error)), delivering(place, "nightly"):
        raise error
    file = tmp_path / ENDING_FILE
    found = {name: value for name, _, value in read(file.read_text())} if file.exists() else {}
    assert found.get("git_lakehouse_nightly_exit_code") == code
    assert ("git_lakehouse_nightly_ended_timestamp_seconds" in found) == (code is not None)


def test_an_ending_stays_when_the_archive_is_looked_at_again(tmp_path: Path) -> None:
    section = settings(textfiles=tmp_path)
    deliver(section, OF_ARCHIVE | {ENDING_FILE: {known.NIGHTLY_EXIT_CODE: {(): 5}}})
    deliver(section, {ARCHIVE_FILE: {known.NIGHTS: {(): 4}}})
    assert read((tmp_path / ENDING_FILE).read_text()) == [("git_lakehouse_nightly_exit_code", (), 5.0)]
    assert read((tmp_path / ARCHIVE_FILE).read_text()) == [("git_lakehouse_nights", (), 4.0)]


def test_an_interrupt_delivers_nothing(place: Workplace, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), delivering(place, "nightly"):
        raise KeyboardInterrupt
    assert not (tmp_path / ENDING_FILE).exists()


def test_an_ending_that_is_not_ours_delivers_nothing(place: Workplace, tmp_path: Path) -> None:
    with delivering(place, "nightly"):
        pass
    assert not (tmp_path / ENDING_FILE).exists()
    with delivering(place, "nightly") as ending:
        ending.exit_code = ExitCode.SOME_ORIGINS_FAILED
    assert "git_lakehouse_nightly_exit_code 1.0\n" in (tmp_path / ENDING_FILE).read_text()


@pytest.mark.parametrize(("ours", "code"), [(True, 1), (False, None)])
def test_what_goes_wrong_after_the_work_does_not_change_how_it_ended(
    place: Workplace, tmp_path: Path, ours: bool, code: int | None
) -> None:
    @measured("nightly")
    def command(place: Workplace, metrics: CommandMetrics) -> None:
        metrics.exit_code, metrics.ours = ExitCode.SOME_ORIGINS_FAILED, ours
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        command(place)
    file = tmp_path / ENDING_FILE
    found = {name: value for name, _, value in read(file.read_text())} if file.exists() else {}
    assert found.get("git_lakehouse_nightly_exit_code") == code


def test_a_dry_run_that_fails_delivers_nothing(place: Workplace, tmp_path: Path) -> None:
    @measured("maintain")
    def command(place: Workplace, metrics: CommandMetrics) -> None:
        metrics.ours = False
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command(place)
    assert not (tmp_path / file_of("maintain")).exists()


def test_a_measured_command_gets_what_it_fills_in_after_its_place(place: Workplace, tmp_path: Path) -> None:
    @measured("compact")
    def command(place: Workplace, metrics: CommandMetrics, code: ExitCode, *, answer: str) -> str:
        """Do it."""
        metrics.exit_code = code
        return answer

    assert command.__doc__ == "Do it."
    assert command(place, ExitCode.CHECK_FAILED, answer="so") == "so"
    assert "git_lakehouse_compact_exit_code 3.0\n" in (tmp_path / file_of("compact")).read_text()


def test_each_command_says_how_it_ended_and_leaves_the_others(place: Workplace, tmp_path: Path) -> None:
    codes = [code for code in ExitCode if code is not ExitCode.ARCHIVE_HELD]
    for command, code in zip(known.ENDINGS, codes, strict=True):
        with delivering(place, command) as ending:
            ending.exit_code = code
    for command, code in zip(known.ENDINGS, codes, strict=True):
        found = {name: value for name, _, value in read((tmp_path / file_of(command)).read_text())}
        assert found[f"git_lakehouse_{command}_exit_code"] == code
        assert (len(found), found[f"git_lakehouse_{command}_ended_timestamp_seconds"] > 0) == (2, True)


def test_a_copy_says_when_it_was_complete_and_nothing_of_the_archive(place: Workplace, tmp_path: Path) -> None:
    for newest in (date(2026, 11, 2), None):
        before = time.time()
        deliver_copy(place, newest)
        found = {name: value for name, _, value in read((tmp_path / file_of("copy")).read_text())}
        assert before <= found.pop("git_lakehouse_copy_completed_timestamp_seconds") <= time.time()
        night_s = datetime(2026, 11, 2, tzinfo=UTC).timestamp()
        assert found == ({} if newest is None else {"git_lakehouse_copy_night_date_timestamp_seconds": night_s})
    assert not (tmp_path / ARCHIVE_FILE).exists()
