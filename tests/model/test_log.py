"""Log lines: what they are about, and that nobody's text gets out of its line."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.git.errors import OriginTimeout
from pipeline.model.errors import ScratchFailed
from pipeline.model.log import FIELDS, TEXT, JsonFormatter, TextFormatter, about, all_about
from pipeline.model.redact import never_show

S = "hunter2S3CRET"


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def last(self) -> dict:
        return json.loads(self.lines[-1])


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    logger = logging.Logger("pipeline.some.module")
    yield logger
    logger.handlers.clear()


def handled(log: logging.Logger, formatter: logging.Formatter) -> Lines:
    lines = Lines(formatter)
    log.addHandler(lines)
    return lines


def test_an_event_has_its_fields(log: logging.Logger) -> None:
    lines = handled(log, JsonFormatter())
    with all_about(run="r1", night="2026-11-01"), about(bucket=3):
        log.warning("bucket %d is late", 3, extra={"origin": "git://h/a", "network": 2**62 + 1})
    event = lines.last
    assert event.pop("time").endswith("+00:00")
    assert event == {
        "level": "WARNING", "logger": "pipeline.some.module",
        "event": "bucket %d is late", "message": "bucket 3 is late",
        "night": "2026-11-01", "run": "r1", "bucket": 3, "network": str(2**62 + 1), "origin": "git://h/a",
    }  # fmt: skip
    log.warning("later")
    assert not set(FIELDS) & set(lines.last)


def test_inner_fields_outrank_outer_ones_and_end(log: logging.Logger) -> None:
    lines = handled(log, JsonFormatter())
    with all_about(night="1"), about(bucket=1):
        with all_about(night="2"), about(bucket=2):
            log.info("x")
            assert (lines.last["night"], lines.last["bucket"]) == ("2", 2)
        log.info("x")
        assert (lines.last["night"], lines.last["bucket"]) == ("1", 1)


def test_other_threads_know_the_run_and_not_the_bucket(log: logging.Logger) -> None:
    lines = handled(log, JsonFormatter())
    with all_about(run="r1"), about(bucket=1):
        thread = threading.Thread(target=log.info, args=("x",))
        thread.start()
        thread.join()
    assert (lines.last["run"], lines.last.get("bucket")) == ("r1", None)


def test_a_forked_process_knows_all(log: logging.Logger) -> None:
    lines = handled(log, JsonFormatter())
    reading, writing = os.pipe()
    with all_about(run="r1"), about(bucket=1):
        pid = os.fork()
        if pid == 0:
            log.info("x")
            os.write(writing, lines.lines[-1].encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        event = json.loads(said.read())
    os.waitpid(pid, 0)
    assert (event["run"], event["bucket"]) == ("r1", 1)


@pytest.mark.parametrize(
    ("error", "code"),
    [(OriginTimeout("slow"), "timeout"), (ScratchFailed("/s", "full"), "scratch_failed")],
)
def test_the_code_is_the_errors(log: logging.Logger, error: Exception, code: str) -> None:
    lines = handled(log, JsonFormatter())
    log.error("failed: %s", error)
    assert lines.last["code"] == code
    log.error("failed: %s", error, extra={"code": "other"})
    assert lines.last["code"] == "other"


def test_an_unexpected_error_brings_its_traceback_and_no_secret(log: logging.Logger) -> None:
    known = "k" + S
    never_show(known)
    kinds = handled(log, JsonFormatter()), handled(log, TextFormatter(TEXT))
    try:
        raise ValueError(f"https://u:{S}@h/x\n2026-11-01 INFO forged: all is well")
    except ValueError:
        log.exception("failed %s", f"token={S}", extra={"origin": f"https://u:{S}@h/x", "code": known})
    for lines in kinds:
        assert S not in lines.lines[0].replace(f"{{{S}}}", "").replace("{S}", "")
    event = kinds[0].last
    assert (event["code"], event["origin"], event["message"]) == ("...", "https://...", "failed token=...")
    assert "ValueError: https://..." in event["traceback"]
    first, *others = kinds[1].lines[0].split("\n")
    assert first.endswith("failed token=...")
    assert others
    assert all(line.startswith("    ") for line in others)


@given(st.text(), st.text(), st.text())
def test_nobodys_text_leaves_its_line(message: str, origin: str, code: str) -> None:
    log = logging.Logger("x")
    line, text = handled(log, JsonFormatter()), handled(log, TextFormatter("%(message)s"))
    log.warning("%s", message, extra={"origin": origin, "code": code})
    assert line.lines[0].isascii()
    assert line.lines[0].isprintable()
    assert all(not set(str(value)) & {chr(n) for n in range(32)} for value in line.last.values())
    first, *others = text.lines[0].split("\n")
    assert all(not other.strip() or other.startswith("    ") for other in others)
    assert not set(first) & ({chr(n) for n in range(32)} - {"\t"})
