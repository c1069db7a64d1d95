"""Who we are to an API server: a token that stands in the kubeconfig, or in a file, or what a credential plugin says.

`token` never waits. Where `stale` is true, `renew` is called first, in a thread, since it may run a program. A refusal
(401) makes what was sent stale, so that it is renewed once before the refusal is believed.

Source of the plugin's protocol: `client.authentication.k8s.io` v1 and v1beta1, `k8s.io/client-go`
plugin/pkg/client/auth/exec.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_TOKEN_AGE: Final = 60.0
"""Seconds for which a token from a file is used before it is read again: kubelet renews it long before it ends."""
_MARGIN: Final = 60.0
"""Seconds before the end at which credentials are renewed, or a fifth of their life where that is less."""
_TRY_AGAIN: Final = 5.0
"""Seconds after a failure before a plugin is run again."""
_PLUGIN: Final = 120.0
"""Seconds for a plugin; one that asks somebody gets them, too."""
_SHOWN: Final = 300
"""Characters of what a plugin says that an error repeats."""


class AccessError(Exception):
    """The configuration cannot be used; the text names file, field and reason."""


class Credentials:
    """A token that does not change; empty for none."""

    def __init__(self, token: str = "") -> None:
        """Takes the token."""
        self._token = token

    @property
    def token(self) -> str:
        """The bearer token to send now; empty for none."""
        return self._token

    @property
    def stale(self) -> bool:
        """Whether `renew` has to be called before a request."""
        return False

    def refused(self, token: str) -> bool:
        """Takes note that the server did not accept us; returns whether something newer may be had.

        Args:
            token: what was sent: what has been renewed since is not to blame.
        """
        return False

    def renew(self) -> bool:
        """Brings everything up to date; returns whether connections have to be made anew. May take long.

        Raises:
            AccessError: that failed, and what we have is of no use any more.
        """
        return False


class FileCredentials(Credentials):
    """A token in a file that somebody else renews."""

    def __init__(self, path: Path) -> None:
        """Reads nothing yet."""
        super().__init__()
        self._path = path
        self._read_at = float("-inf")

    @property
    def stale(self) -> bool:
        """Whether the file has to be looked at again."""
        return time.monotonic() - self._read_at > _TOKEN_AGE

    def refused(self, token: str) -> bool:
        """Has the file read again."""
        if token == self._token:
            self._read_at = float("-inf")
        return True

    def renew(self) -> bool:
        """Reads the file; while it cannot be read the token from before goes on.

        Raises:
            AccessError: it cannot be read, and never could.
        """
        try:
            self._token = self._path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            if not self._token:
                raise AccessError(f"{self._path}: {getattr(error, 'strerror', None) or error}") from None
        self._read_at = time.monotonic()
        return False


@dataclass(frozen=True, slots=True)
class Plugin:
    """The `exec` of a user in a kubeconfig, checked."""

    where: str
    """File and field, for errors."""
    command: str
    version: str
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    interactive: Literal["Never", "IfAvailable", "Always"] = "IfAvailable"
    cluster: Mapping[str, Any] | None = None
    """What the plugin is told of the cluster; None where it does not ask for that."""
    hint: str = ""
    """How to install it."""


class PluginCredentials(Credentials):
    """What a program prints: a token, a client certificate, or both, perhaps for some time only."""

    def __init__(self, plugin: Plugin, tls: ssl.SSLContext | None) -> None:
        """Runs nothing yet.

        Args:
            plugin: the program.
            tls: takes a client certificate; connections that are made afterwards show it.
        """
        super().__init__()
        self._plugin = plugin
        self._tls = tls
        self._lock = threading.Lock()
        self._known = False
        self._certificate = ""
        self._ends_at = float("inf")
        self._renew_at = float("-inf")
        self._problem = ""

    @property
    def stale(self) -> bool:
        """Whether the program has to be run."""
        return time.time() >= self._renew_at

    def refused(self, token: str) -> bool:
        """Has the program run again, unless it has just failed."""
        if token == self._token and not self._problem:
            self._renew_at = float("-inf")
            self._known = False
        return True

    def renew(self) -> bool:
        """Runs the program where that is due.

        Raises:
            AccessError: it failed, and there are no credentials that go on.
        """
        with self._lock:
            if not self.stale:
                return False
            try:
                status = _run(self._plugin)
                changed = self._take(status)
            except AccessError as error:
                self._problem = str(error)
                self._renew_at = time.time() + _TRY_AGAIN
                if not self._known or time.time() >= self._ends_at:
                    raise
                return False
            self._problem, self._known = "", True
            return changed

    @property
    def token(self) -> str:
        """The bearer token to send now; empty where certificates do.

        Raises:
            AccessError: the program failed lately.
        """
        if self._problem and (not self._known or time.time() >= self._ends_at):
            raise AccessError(self._problem)
        return self._token

    def _take(self, status: Mapping[str, Any]) -> bool:
        where, now = self._plugin.where, time.time()
        token = status.get("token") or ""
        certificate, key = status.get("clientCertificateData") or "", status.get("clientKeyData") or ""
        if not all(isinstance(one, str) for one in (token, certificate, key)):
            raise AccessError(f"{where}: token, clientCertificateData and clientKeyData must be strings")
        if bool(certificate) != bool(key):
            raise AccessError(f"{where}: clientCertificateData and clientKeyData go together")
        if not token and not certificate:
            raise AccessError(f"{where}: {self._plugin.command} gave neither a token nor a client certificate")
        ends_at = _moment(where, status.get("expirationTimestamp"))
        if certificate and self._tls is None:
            raise AccessError(f"{where}: a client certificate is of no use for an http address")
        changed = certificate + key != self._certificate
        if changed and certificate and self._tls is not None:
            load_certificate(self._tls, where, (certificate + "\n" + key).encode())
        self._token, self._certificate, self._ends_at = token, certificate + key, ends_at
        self._renew_at = (
            ends_at if ends_at == float("inf") else max(ends_at - min(_MARGIN, (ends_at - now) / 5), now + 1)
        )
        return changed


def load_certificate(tls: ssl.SSLContext, where: str, material: bytes) -> None:
    """Has a client certificate shown from now on.

    Args:
        tls: takes it.
        where: names it in errors.
        material: certificate and key as PEM.

    Raises:
        AccessError: they cannot be read, or do not belong together.
    """
    # The standard library reads certificates from files only.
    with tempfile.TemporaryDirectory() as folder:
        both = Path(folder) / "client.pem"
        both.touch(mode=0o600)
        both.write_bytes(material)
        try:
            tls.load_cert_chain(both)
        except ssl.SSLError as error:
            raise AccessError(f"{where}: client certificate: {error}") from None


def _run(plugin: Plugin) -> Mapping[str, Any]:
    """The status that a plugin prints."""
    where = plugin.where
    terminal = sys.stdin is not None and sys.stdin.isatty()
    interactive = plugin.interactive != "Never" and terminal
    if plugin.interactive == "Always" and not terminal:
        raise AccessError(f"{where}: {plugin.command} wants to ask somebody, and there is no terminal")
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.cluster is not None:
        spec["cluster"] = plugin.cluster
    info = {"apiVersion": plugin.version, "kind": "ExecCredential", "spec": spec}
    try:
        done = subprocess.run(
            [plugin.command, *plugin.args],
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if interactive else subprocess.PIPE,
            env={**os.environ, **plugin.env, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            timeout=_PLUGIN,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AccessError(f"{where}: {plugin.command} did not end within {_PLUGIN:g} seconds") from None
    except OSError as error:
        hint = f" ({_one_line(plugin.hint)})" if plugin.hint else ""
        raise AccessError(f"{where}: {plugin.command}: {error.strerror}{hint}") from None
    if done.returncode != 0:
        said = _one_line((done.stderr or b"").decode(errors="replace"))
        raise AccessError(f"{where}: {plugin.command} ended with status {done.returncode}{f': {said}' if said else ''}")
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise AccessError(f"{where}: {plugin.command} printed no JSON") from None
    if not isinstance(answer, dict) or answer.get("kind") != "ExecCredential":
        raise AccessError(f"{where}: {plugin.command} printed no ExecCredential")
    if answer.get("apiVersion") != plugin.version:
        raise AccessError(f"{where}: {plugin.command} answered in {answer.get('apiVersion')}, not {plugin.version}")
    status = answer.get("status")
    if not isinstance(status, dict):
        raise AccessError(f"{where}: {plugin.command} printed no status")
    return status


def _moment(where: str, text: Any) -> float:
    """When credentials end, in seconds since 1970; never where nothing is said."""
    if text is None:
        return float("inf")
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise AccessError(f"{where}: expirationTimestamp {text!r} is no time") from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _one_line(text: str) -> str:
    return " ".join(text.split())[-_SHOWN:]
