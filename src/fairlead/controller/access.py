"""How to reach an API server: a kubeconfig, or the ServiceAccount of the pod that we run in.

A kubeconfig is taken from the path that is given, else from `KUBECONFIG` (the first file of it that exists), else from
`~/.kube/config`; without any of these the pod's ServiceAccount is used. Tokens in files are read again after a minute,
since kubelet renews them. Credential plugins (`exec`, `auth-provider`) are refused by name.

Source of the fields: `k8s.io/client-go` tools/clientcmd/api/v1.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_AGE: Final = 60.0
"""Seconds for which a token from a file is used before it is read again."""


class AccessError(Exception):
    """The configuration cannot be used; the text names file, field and reason."""


@dataclass(frozen=True, slots=True)
class Access:
    """An API server and how to show who we are."""

    server: str
    tls: ssl.SSLContext | None
    token: Callable[[], str]
    """The bearer token to send now; empty for none."""
    inside: bool = False
    """Whether we run in the cluster, as one of its ServiceAccounts."""


def find_access(path: str | None = None) -> Access:
    """The API server to talk to.

    Args:
        path: a kubeconfig; the usual places are looked at where none is given.

    Raises:
        AccessError: there is none, or it cannot be used.
    """
    if path is not None:
        return read_kubeconfig(Path(path))
    places = [Path(one) for one in os.environ.get("KUBECONFIG", "").split(os.pathsep) if one]
    for place in places or [Path.home() / ".kube" / "config"]:
        if place.is_file():
            return read_kubeconfig(place)
    if places:
        raise AccessError(f"KUBECONFIG: {os.environ['KUBECONFIG']}: no such file")
    return in_cluster()


def in_cluster() -> Access:
    """The API server of the cluster that we run in.

    Raises:
        AccessError: we do not run in one.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    token = SERVICE_ACCOUNT / "token"
    if not host or not token.is_file():
        raise AccessError("no kubeconfig (--kubeconfig, KUBECONFIG, ~/.kube/config), and this is no pod of a cluster")
    tls = ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt"))
    return Access(f"https://{f'[{host}]' if ':' in host else host}:{port}", tls, _from_file(token), inside=True)


def read_kubeconfig(path: Path) -> Access:
    """The current context of a kubeconfig.

    Raises:
        AccessError: it cannot be read or used.
    """
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AccessError(f"{path}: {getattr(error, 'strerror', None) or ' '.join(str(error).split())}") from None
    if not isinstance(config, dict):
        raise AccessError(f"{path}: is no kubeconfig")
    current = config.get("current-context")
    context = _named(path, config, "contexts", "context", current)
    cluster = _named(path, config, "clusters", "cluster", context.get("cluster"))
    user = _named(path, config, "users", "user", context.get("user")) if context.get("user") else {}
    for plugin in ("exec", "auth-provider"):
        if plugin in user:
            where = f"{path}: users[{context['user']}].user.{plugin}"
            raise AccessError(f"{where}: credential plugins are not supported, use a token or a client certificate")
    server = cluster.get("server")
    if not isinstance(server, str) or not server.startswith(("https://", "http://")):
        raise AccessError(f"{path}: clusters[{context.get('cluster')}].cluster.server: must be an http(s) address")
    tls = _tls(path, cluster, user) if server.startswith("https://") else None
    return Access(server.rstrip("/"), tls, _token(path, user))


def _named(path: Path, config: dict[str, Any], plural: str, singular: str, name: Any) -> dict[str, Any]:
    for entry in config.get(plural) or ():
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(singular), dict):
            found: dict[str, Any] = entry[singular]
            return found
    raise AccessError(f"{path}: {plural}: there is no {name!r}")


def _tls(path: Path, cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    authority = _material(path, cluster, "certificate-authority")
    try:
        tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
        if cluster.get("insecure-skip-tls-verify"):
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        certificate, key = _material(path, user, "client-certificate"), _material(path, user, "client-key")
        if certificate and key:
            # The standard library reads certificates from files only.
            with tempfile.TemporaryDirectory() as folder:
                both = Path(folder) / "client.pem"
                both.touch(mode=0o600)
                both.write_bytes(certificate + b"\n" + key)
                tls.load_cert_chain(both)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise AccessError(f"{path}: certificates: {error}") from None
    return tls


def _material(path: Path, fields: dict[str, Any], name: str) -> bytes:
    """A certificate or key: inline (`NAME-data`), or in a file beside the kubeconfig."""
    try:
        if inline := fields.get(f"{name}-data"):
            return base64.b64decode(inline, validate=True)
        return (path.parent / fields[name]).read_bytes() if fields.get(name) else b""
    except (OSError, binascii.Error, ValueError, TypeError) as error:
        raise AccessError(f"{path}: {name}: {getattr(error, 'strerror', None) or error}") from None


def _token(path: Path, user: dict[str, Any]) -> Callable[[], str]:
    if user.get("tokenFile"):
        return _from_file(path.parent / user["tokenFile"])
    token = str(user.get("token") or "")
    return lambda: token


def _from_file(path: Path) -> Callable[[], str]:
    known = ""
    read_at = float("-inf")

    def read() -> str:
        nonlocal known, read_at
        if time.monotonic() - read_at > _TOKEN_AGE:
            try:
                known = path.read_text().strip()
            except OSError as error:
                raise AccessError(f"{path}: {error.strerror}") from None
            read_at = time.monotonic()
        return known

    return read
