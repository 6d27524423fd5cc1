"""Programs besides Python: Java for Spark, git for people and scripts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from pipeline.maintain.doctor.finding import Finding, machine_failure, ok, warning

TRIED_JAVA = (17, 21)
LIMIT_S = 30.0
GET_JAVA = "install a Java 17 runtime (Debian, Ubuntu: openjdk-17-jre-headless), or point JAVA_HOME to one"


def check_java(home: str | None) -> Finding:
    """Check the Java that Spark would start: that of ``JAVA_HOME``, else the one on the path."""
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if program is None:
        return machine_failure("java", "there is no java on the path, and JAVA_HOME is not set", GET_JAVA)
    said = _said(program, "-version")
    if said is None:
        return machine_failure("java", f"{program} does not start", GET_JAVA)
    found = re.search(r'version "(\d+)(?:\.(\d+))?', said)
    if found is None:
        return machine_failure("java", f"{program} does not report its version", GET_JAVA)
    version = int(found[2] or 0) if found[1] == "1" else int(found[1])
    if version < min(TRIED_JAVA):
        return machine_failure("java", f"{program} is Java {version}, Spark needs {min(TRIED_JAVA)}", GET_JAVA)
    if version not in TRIED_JAVA:
        return warning("java", f"{program} is Java {version}, which is untested with this Spark", GET_JAVA)
    return ok("java", f"Java {version} at {program}")


def check_git(program: str | None) -> Finding:
    """Check git, which archiving and restoring do not need."""
    said = None if program is None else _said(program, "--version")
    if said is None:
        return warning(
            "git",
            "git is missing or does not start",
            "install it: people need it to use restored repositories, and patches and blame in Python are its work",
        )
    return ok("git", said.strip().partition("\n")[0])


def _said(*command: str) -> str | None:
    """A program's standard output and error; None if it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S,
            check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")
