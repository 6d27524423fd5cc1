"""Fuzz one target, guided by coverage: ``python -m tests.fuzz TARGET --minutes N``, which ``scripts/fuzz`` calls."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pipeline", "dulwich", "urllib3", "http"]):
    from tests.fuzz import targets

from tests.fuzz.generators import SEEDS

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(targets.TARGETS))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--keep", type=Path, help="folder for inputs that reach new code; default: a temporary one")
    parser.add_argument("--memory-mb", type=int, default=2048, help="more is a finding")
    parser.add_argument("--input-s", type=int, default=20, help="seconds per input; more is a finding")
    chosen = parser.parse_args()
    logging.disable(logging.ERROR)
    keep = chosen.keep or Path(tempfile.mkdtemp(prefix=f"fuzz-{chosen.target}-"))
    keep.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(SEEDS.get(chosen.target, [])):
        (keep / f"seed-{number}").write_bytes(data)
    known = CORPUS / chosen.target
    print(f"New inputs go to {keep}", file=sys.stderr)
    arguments = [
        sys.argv[0], str(keep), *([str(known)] if known.is_dir() else []),
        f"-max_total_time={round(chosen.minutes * 60)}",
        f"-rss_limit_mb={chosen.memory_mb}", f"-timeout={chosen.input_s}", "-max_len=8192", "-print_final_stats=1",
        f"-artifact_prefix={keep}/found-",
    ]  # fmt: skip
    atheris.Setup(arguments, targets.TARGETS[chosen.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
