"""Every command that says how it ended does so on the command line, well or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.workflows.metrics import known
from pipeline.workflows.metrics.delivery import ARCHIVE_FILE, file_of
from tests.e2e.archive import Archive, Place, night
from tests.workflows.metrics.reading import read

ORIGINS = "origins.txt"
WORDS: Mapping[known.Command, tuple[str, ...]] = {
    "nightly": ("nightly", "--night", str(night(2))),
    "backfill": ("backfill", "origins", "--from", ORIGINS),
    "maintain": ("maintain",),
    "compact": ("compact",),
    "backfill_job": ("backfill", "job", "language_census", "--from", str(night(1)), "--to", str(night(1))),
}


@pytest.fixture(scope="module")
def archive(one_spark: None, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """An archive with a night, and a folder for files of metrics."""
    folder = tmp_path_factory.mktemp("endings")
    made = Archive.at(
        Place("local", str(folder)), folder / "settings", "archive",
        archive={"buckets": 1}, metrics={"textfiles": str(folder)},
    )  # fmt: skip
    made.init()
    made.nightly(1)
    (folder / ORIGINS).write_text("ftp://127.0.0.1/refused.git\n")
    return made


@pytest.mark.parametrize("command", known.ENDINGS)
def test_a_command_says_how_it_ended(archive: Archive, command: known.Command) -> None:
    folder = Path(archive.settings["metrics"]["textfiles"])
    words = [str(folder / word) if word == ORIGINS else word for word in WORDS[command]]
    broken = archive.with_settings(fetch={"scratch": "/dev/null/scratch"})
    for each, code in ((broken, 5), (archive, 0)):
        for name in (ARCHIVE_FILE, file_of(command)):
            (folder / name).unlink(missing_ok=True)
        each.run(*words, code=code)
        found = {name: value for name, _, value in read((folder / file_of(command)).read_text())}
        assert found[f"git_lakehouse_{command}_exit_code"] == code
        assert (folder / ARCHIVE_FILE).exists()
