"""How files of tests are given to processes."""

from __future__ import annotations

from tests.conftest import HERE, SHARED, SLOWEST


def test_folders_that_share_an_archive_have_the_fixture_that_makes_it() -> None:
    lost = {
        folder: fixture
        for folder, fixture in SHARED.items()
        if not any(f"def {fixture}(" in path.read_text() for path in (HERE / folder).glob("*.py"))
    }
    assert lost == {}


def test_folders_that_begin_first_exist() -> None:
    assert [folder for folder in SLOWEST if not (HERE / folder).is_dir()] == []
