"""What a job brings: packages of a requirements file, and packed environments. Starts no Spark."""

from __future__ import annotations

import errno
import logging
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.main import cli
from pipeline.model.errors import ExitCode, ScratchFailed
from pipeline.read.submit.environment import BadEnvironment, unpacked
from pipeline.read.submit.requirements import BadRequirements, installed, refusal
from pipeline.read.submit.run_job import Manner
from pipeline.tables.libraries import Libraries
from pipeline.tables.session import session_conf, submitted_conf
from pipeline.tables.settings import ClusterSettings, SparkSettings
from tests.support.libraries import environment, requirements, wheel

SHAPE = ClusterSettings(threads=8, memory_bytes=1 << 36)


@pytest.mark.slow
def test_pip_installs_what_is_missing_and_the_digest_tells_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONPATH"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PIP_USER", "1")
    wheel(tmp_path / "wheels", "of_one", "1.0", "ONE = 1", "of_two>=2", "numpy")
    wheel(tmp_path / "wheels", "of_two", "2.1", "TWO = 2")
    first = installed(requirements(tmp_path / "first.txt", tmp_path / "wheels", "of_one"))
    code = "import of_one, of_two; print(of_one.ONE + of_two.TWO)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(first.imports)}, stdout=subprocess.PIPE, check=True
    )
    assert done.stdout == b"3\n"
    assert not (first.imports / "numpy").exists()
    assert not (tmp_path / "elsewhere").exists()
    assert f"pip installed of_one==1.0, of_two==2.1 for {tmp_path}/first.txt, as {first.word}" in caplog.text

    again = installed(requirements(tmp_path / "second.txt", tmp_path / "wheels", "# the same", "of_one==1.0"))
    assert (again.digest, again.folder) == (first.digest, again.imports) != (again.digest, first.folder)
    wheel(tmp_path / "wheels", "of_two", "2.2", "TWO = 2")
    third = installed(requirements(tmp_path / "third.txt", tmp_path / "wheels", "of_one"))
    assert third.digest != first.digest


def test_pip_does_not_replace_what_is_here(tmp_path: Path) -> None:
    other = requirements(tmp_path / "r.txt", tmp_path, "", "numpy==1.20  # an old one")
    with pytest.raises(BadRequirements) as caught:
        installed(other)
    assert str(caught.value).startswith(f"{other}, line 4: Cannot install numpy==1.20 because these package versions")
    assert f"this installation has numpy=={version('numpy')}" in str(caught.value)
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("said", "line", "problem"),
    [
        (
            "ERROR: Could not find a version that satisfies the requirement nosuch>=2 (from versions: none)\n"
            "ERROR: No matching distribution found for nosuch>=2\n",
            5,
            "Could not find a version that satisfies the requirement nosuch>=2 (from versions: none); No matching",
        ),
        ("ERROR: Invalid requirement: 'no such' (from line 6 of r.txt)\n", 6, "Invalid requirement: 'no such'"),
        ("ERROR: gone.whl is not a valid wheel filename.\n", 7, "gone.whl is not a valid wheel filename."),
        ("Usage: x\n\nERROR: Invalid requirement: --wrong\npip: error: no such\n", 8, "Invalid requirement: --wrong"),
        (
            "ERROR: Could not find a version that satisfies the requirement inner>=3 (from tiny) (from versions: 1)\n",
            3,
            "Could not find a version that satisfies the requirement inner>=3 (from tiny)",
        ),
        ("/usr/bin/python: No module named pip\n", 0, "/usr/bin/python: No module named pip"),
        ("", 0, "pip says nothing"),
    ],
)
def test_a_refusal_names_the_line(tmp_path: Path, said: str, line: int, problem: str) -> None:
    file = requirements(tmp_path / "r.txt", tmp_path, "tiny", "", "nosuch>=2", "no such", "./gone.whl", "--wrong")
    error = refusal(file, tmp_path, said)
    assert isinstance(error, BadRequirements)
    assert error.line == line
    assert error.problem.startswith(problem)


def test_a_full_folder_is_not_the_fault_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = requirements(tmp_path / "r.txt", tmp_path)
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
    error = refusal(file, tmp_path, said)
    assert (type(error), error.exit_code) == (ScratchFailed, ExitCode.RUN_FAILED)

    def create(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("venv.EnvBuilder.create", create)
    with pytest.raises(ScratchFailed, match="No space left on device"):
        installed(file)


def test_pip_runs_for_no_help_and_no_unknown_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Path] = []
    monkeypatch.setattr("pipeline.cli.job_options.installed", ran.append)
    file = str(requirements(tmp_path / "r.txt", tmp_path))
    (tmp_path / "own_help.py").write_text("def main(archive, least: int = 7): ...")
    helped = CliRunner().invoke(cli, ["submit", str(tmp_path / "own_help.py"), "--requirements", file, "--help"])
    assert (helped.exit_code, "--least" in helped.stdout) == (0, True)
    words = ["--requirements", file, "--least", "1", "--archive", str(tmp_path / "a"), "--output", "json"]
    unknown = CliRunner().invoke(cli, ["submit", "no_such", *words])
    assert (unknown.exit_code, "there is no job no_such" in unknown.stderr) == (2, True)
    assert not ran


@pytest.mark.parametrize("option", ["requirements", "environment"])
def test_spark_ships_them_where_it_runs(tmp_path: Path, option: str) -> None:
    (tmp_path / "there").mkdir()
    packages = "lib" if option == "environment" else "."
    found = Libraries(option, "d1", tmp_path / "there", packages, tmp_path / "e.tar.gz")  # type: ignore[arg-type]
    key = "spark.pyspark.python" if found.has_python else "spark.executorEnv.PYTHONPATH"
    local = found.applied(SparkSettings())
    assert "spark.archives" not in local.conf
    here = session_conf(local, "file:///a")[key].split(":")
    assert here[-1] == str(tmp_path / ("there/bin/python" if found.has_python else "there"))
    workers = SparkSettings(master="spark://h:1", cluster=SHAPE, conf={"spark.archives": "x.zip"})
    conf = session_conf(found.applied(workers), "hdfs://a")
    assert conf["spark.archives"] == f"x.zip,{(tmp_path / 'e.tar.gz').as_uri()}#{option}"
    relative = "./environment/bin/python" if found.has_python else "git-lakehouse.zip:requirements"
    assert conf[key] == relative
    yarn = SparkSettings(master="yarn", deploy_mode="cluster", cluster=SHAPE)
    conf = submitted_conf(found.applied(yarn), "hdfs://a")
    if found.has_python:
        assert conf["spark.pyspark.driver.python"] == conf["spark.yarn.appMasterEnv.PYSPARK_PYTHON"] == relative
    else:
        assert (conf[key], conf["spark.yarn.appMasterEnv.PYTHONPATH"]) == (relative, "requirements")
        mine = yarn.model_copy(update={"conf": {"spark.yarn.appMasterEnv.PYTHONPATH": "/mine"}})
        assert found.applied(mine).conf["spark.yarn.appMasterEnv.PYTHONPATH"] == "/mine:requirements"


def test_folders_of_packages_are_packed_to_be_shipped(tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages/module.py").write_text("X = 1")
    found = Libraries("requirements", "d", tmp_path / "packages")
    shipped = found.applied(SparkSettings(master="spark://h:1", cluster=SHAPE)).conf["spark.archives"]
    with tarfile.open(shipped.removeprefix("file://").partition("#")[0]) as archive:
        assert "./module.py" in archive.getnames()


def test_results_tell_what_was_brought() -> None:
    assert Manner(libraries=Libraries("requirements", "d1", Path())).words == ("--requirements=d1",)


def test_an_environment_is_unpacked_and_runs(tmp_path: Path) -> None:
    found = unpacked(environment(tmp_path, "of_mine", "X = 3"))
    code = "import of_mine, numpy; print(of_mine.X)"
    done = subprocess.run([found.folder / "bin/python", "-c", code], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"3\n"
    assert (found.imports / "of_mine.py").is_file()


def test_what_is_no_environment_for_this_python_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e.zip").touch()
    (tmp_path / "e.tar.gz").write_bytes(b"x")
    with tarfile.open(tmp_path / "empty.tar.gz", "w:gz"):
        pass
    for file, says in (
        (tmp_path / "e.zip", "is no .tar.gz; pack one with venv-pack"),
        (tmp_path / "e.tar.gz", "cannot be unpacked: "),
        (tmp_path / "empty.tar.gz", "has no bin/python; "),
        (environment(tmp_path, "x", "", base="python3.1"), "has no lib/python3.1"),
    ):
        with pytest.raises(BadEnvironment, match=says) as caught:
            unpacked(file)
        assert caught.value.exit_code is ExitCode.USAGE
