"""A certificate authority for one control plane, made with the `openssl` program.

Python's standard library makes no certificates, and one more dependency for tests is not worth it; openssl is on every
machine that has Git or curl. Keys are P-256 elliptic curve keys: made in milliseconds, and Kubernetes signs service
account tokens with them.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DAYS = "30"
LOOPBACK = ("DNS:localhost", "IP:127.0.0.1")


class CertificateError(Exception):
    """openssl is missing or failed."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates into one folder; `ca.crt` there is its own."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> Authority:
        """A new authority.

        Raises:
            CertificateError: openssl is missing or failed.
        """
        made = cls(folder)
        _openssl("req", "-x509", *_key(folder / "ca.key"), *_subject("fairlead-kube"), "-out", str(folder / "ca.crt"))
        return made

    @property
    def certificate(self) -> Path:
        """The authority's own certificate."""
        return self.folder / "ca.crt"

    def bundle(self) -> str:
        """The same in base64, as kubeconfigs and webhook configurations (`caBundle`) want it."""
        return base64.b64encode(self.certificate.read_bytes()).decode()

    def issue(self, name: str, hosts: Sequence[str] = LOOPBACK, organizations: Sequence[str] = ()) -> tuple[Path, Path]:
        """A certificate for servers and clients.

        Args:
            name: the common name, and the beginning of the files' names.
            hosts: subject alternative names as openssl writes them, `DNS:...` or `IP:...`.
            organizations: the groups of a client.

        Returns:
            The files of certificate and key.
        """
        file = name.replace(":", "-")
        certificate, key = self.folder / f"{file}.crt", self.folder / f"{file}.key"
        signed = ["-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key")]
        usage = ["-addext", "extendedKeyUsage=serverAuth,clientAuth", "-addext", f"subjectAltName={','.join(hosts)}"]
        names = _subject(name, organizations)
        _openssl("req", "-x509", *_key(key), *names, *signed, *usage, "-addext", "basicConstraints=critical,CA:FALSE",
                 "-out", str(certificate))  # fmt: skip
        return certificate, key

    def signing_key(self, name: str) -> Path:
        """A private key alone, in the older form (SEC 1): the API server reads public keys from no other."""
        key = self.folder / f"{name}.key"
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key))
        return key


def _key(path: Path) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(path), "-days", DAYS]


def _subject(name: str, organizations: Sequence[str] = ()) -> list[str]:
    return ["-subj", "".join(f"/O={organization}" for organization in organizations) + f"/CN={name}"]


def _openssl(*arguments: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise CertificateError("the control plane's certificates are made with `openssl`, and there is none here")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CertificateError(f"openssl {arguments[0]} failed: {done.stderr.strip()[-500:]}")
