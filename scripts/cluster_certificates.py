"""Certificates of one cluster, made with openssl, and the kubeconfig files that hold them."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hadoop_daemons import Failed

DAYS = "3650"
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(*arguments: str) -> None:
    """Runs openssl."""
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"openssl {arguments[0]} failed:\n{done.stderr[-2000:]}")


class Authority:
    """A certificate authority in a folder, which is made if it does not exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if not self.certificate.exists():
            key, certificate = str(folder / "ca.key"), str(self.certificate)
            openssl("req", "-x509", *CURVE, "-keyout", key, "-out", certificate, "-days", DAYS, "-subj", "/CN=one-node")

    @property
    def certificate(self) -> Path:
        """The authority's own certificate."""
        return self.folder / "ca.crt"

    def issue(self, name: str, common_name: str, *, group: str = "", hosts: Sequence[str] = ()) -> tuple[Path, Path]:
        """The files of a certificate and its key, made unless they exist.

        Args:
            name: the files' name.
            common_name: whom the certificate names; for Kubernetes, the user.
            group: the user's group.
            hosts: a server's subject alternative names, as ``IP:127.0.0.1`` or ``DNS:name``.
        """
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        if not certificate.exists():
            subject = f"/O={group}/CN={common_name}" if group else f"/CN={common_name}"
            request = self.folder / f"{name}.csr"
            openssl("req", *CURVE, "-keyout", str(key), "-out", str(request), "-subj", subject)
            extensions = self.folder / f"{name}.ext"
            lines = ["extendedKeyUsage=serverAuth,clientAuth"]
            lines += [f"subjectAltName={','.join(hosts)}"] if hosts else []
            extensions.write_text("\n".join(lines) + "\n")
            signed = ["-in", str(request), "-out", str(certificate), "-days", DAYS, "-extfile", str(extensions)]
            authority = ["-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"), "-CAcreateserial"]
            openssl("x509", "-req", *authority, *signed)
        return certificate, key

    def write_kubeconfig(self, path: Path, server: str, user: str, *, group: str = "") -> None:
        """Writes a kubeconfig with a user's certificate in it, readable by its owner only."""
        certificate, key = self.issue(path.stem, user, group=group)

        def text_of(file: Path) -> str:
            return base64.b64encode(file.read_bytes()).decode()

        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "one-node",
                    "cluster": {"server": server, "certificate-authority-data": text_of(self.certificate)},
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {"client-certificate-data": text_of(certificate), "client-key-data": text_of(key)},
                }
            ],
            "contexts": [{"name": "one-node", "context": {"cluster": "one-node", "user": user}}],
            "current-context": "one-node",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=2) + "\n")
