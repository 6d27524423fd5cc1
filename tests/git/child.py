"""Reads one pack in its own process, so that its memory can be limited and measured."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from pipeline.git.errors import OriginError
from pipeline.git.limits import Limits
from pipeline.git.pack import Pack
from tests.support.memory import peak_bytes


def main(path: str, scratch: str, limits: str, address_space: str) -> None:
    if int(address_space):
        resource.setrlimit(resource.RLIMIT_AS, (int(address_space), int(address_space)))
    before = peak_bytes()
    objects, error = [], None
    try:
        chosen = Limits.model_validate_json(limits)
        with Pack(Path(path), limits=chosen, scratch=Path(scratch)) as pack:
            for found in pack.objects():
                sha256 = found.sha256.hex() if found.sha256 else None
                objects.append((found.oid.hex(), found.type, found.size, found.data is not None, sha256))
    except OriginError as failure:
        error = failure.code
    sys.stdout.write(json.dumps({"objects": objects, "error": error, "peak_bytes": peak_bytes() - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
