"""The certificate that the webhook shows, read again when its files change.

Whoever renews certificates (cert-manager, a Helm upgrade) replaces the files; kubelet does so in a mounted Secret with
a delay of up to a minute or so. Connections that are open stay, new ones see the new certificate. Files that do not go
together, as in the middle of a change, are left for the next look.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any


class CertificateError(Exception):
    """The files cannot be used; the text names file and reason."""


class Certificates:
    """A certificate with its chain, and the key, in PEM files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Reads the files.

        Args:
            certificate: the server's own certificate first, then those of intermediate authorities.
            key: its private key, without a passphrase.

        Raises:
            CertificateError: they cannot be used.
        """
        self._certificate = certificate
        self._key = key
        self._content = self._read()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        """For a server; stays the same object."""
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(self.context)

    def renew(self, log: Callable[..., Any]) -> None:
        """Takes the files as they are now, if they have changed and can be used."""
        try:
            content = self._read()
            if content == self._content:
                return
            # A pair that does not go together must not reach the context that serves.
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
            self._load(self.context)
        except CertificateError as error:
            log("certificate not renewed", problem=str(error))
            return
        self._content = content
        log("certificate renewed", file=str(self._certificate))

    def _read(self) -> tuple[bytes, bytes]:
        try:
            return self._certificate.read_bytes(), self._key.read_bytes()
        except OSError as error:
            raise CertificateError(f"{error.filename}: {error.strerror}") from None

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            # An empty passphrase: a key that needs one is an error and not a question on the terminal.
            context.load_cert_chain(self._certificate, self._key, password="")
        except (ssl.SSLError, OSError) as error:
            raise CertificateError(f"{self._certificate}, {self._key}: no certificate with its key: {error}") from None
