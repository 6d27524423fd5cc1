"""How files of tests are given to processes."""

from __future__ import annotations

from tests.conftest import APART, HERE, SHARED, SLOWEST, unit_of


def test_a_file_a_folder_with_one_archive_or_a_test_is_a_unit() -> None:
    assert unit_of("tests/crash/test_outages.py::test_a[x/y::z]") == unit_of("tests/crash/test_kill_matrix.py::test_b")
    assert unit_of("tests/e2e/test_commands.py::test_a") == "tests/e2e/test_commands.py"
    assert unit_of("tests/test_docs.py::test_a") == "tests/test_docs.py"
    assert unit_of("tests/workflows/test_hosts.py::test_a[x::y]") == "tests/workflows/test_hosts.py::test_a"


def test_folders_that_are_named_exist() -> None:
    assert [folder for folder in (*SHARED, *APART, *SLOWEST) if not (HERE / folder).is_dir()] == []
