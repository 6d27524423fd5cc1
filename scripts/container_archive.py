"""Container images from a few files, without a base image: the pause image of a node, and images for tests."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""An image's name of an architecture by the machine's."""


def write_archive(path: Path, name: str, files: Mapping[str, bytes], entrypoint: Sequence[str]) -> None:
    """Writes an image as a docker archive, which ``ctr image import`` takes.

    Args:
        path: where to write the tar file.
        name: the image's full name with its tag: ``localhost/pause:1``.
        files: content by path in the image, without the leading ``/``; all are executable.
        entrypoint: the command that a container runs.
    """
    layer = tar_of(files)
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "User": "65534:65534"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    text = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    path.write_bytes(tar_of({"manifest.json": json.dumps(manifest).encode(), config_name: text, "layer.tar": layer}))


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """A tar archive with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
