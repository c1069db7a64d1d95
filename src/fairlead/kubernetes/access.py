"""How to reach an API server: a kubeconfig, or the ServiceAccount of the pod that we run in.

A kubeconfig is taken from the path that is given, else from the files of `KUBECONFIG`, else from `~/.kube/config`;
without any of these the pod's ServiceAccount is used. Of several files the first that says something of a name counts,
and paths in a file start from its folder. What we do not do is refused by name, not ignored: `auth-provider`,
impersonation, proxies, user names with passwords.

Source of the fields: `k8s.io/client-go` tools/clientcmd/api/v1.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast

import yaml

from fairlead.kubernetes.credentials import (
    VERSIONS,
    AccessError,
    Credentials,
    FileCredentials,
    Plugin,
    PluginCredentials,
    load_certificate,
)

__all__ = ["Access", "AccessError", "find_access", "in_cluster"]

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_REFUSED: Final = {
    "auth-provider": "is not supported, use exec, a token or a client certificate",
    "as": "impersonation is not supported",
    "as-uid": "impersonation is not supported",
    "as-groups": "impersonation is not supported",
    "as-user-extra": "impersonation is not supported",
    "username": "is not supported, use exec, a token or a client certificate",
}
_EXTENSION: Final = "client.authentication.k8s.io/exec"
"""The extension of a cluster that its plugins are told."""


@dataclass(frozen=True, slots=True)
class Access:
    """An API server and how to show who we are."""

    server: str
    tls: ssl.SSLContext | None = None
    credentials: Credentials = field(default_factory=Credentials)
    inside: bool = False
    """Whether we run in the cluster, as one of its ServiceAccounts."""
    server_name: str = ""
    """What the server's certificate has to be for, where that is not the host of the address."""


def find_access(path: str | None = None, context: str = "") -> Access:
    """The API server to talk to. A credential plugin is run once.

    Args:
        path: a kubeconfig; the usual places are looked at where none is given.
        context: the context to use of it; the current one where it is empty.

    Raises:
        AccessError: there is none, or it cannot be used.
    """
    access = _find(path, context)
    access.credentials.renew()
    return access


def _find(path: str | None, context: str) -> Access:
    if path is not None:
        return _Config([Path(path)]).access(context)
    places = [Path(one) for one in os.environ.get("KUBECONFIG", "").split(os.pathsep) if one]
    there = [place for place in places or [Path.home() / ".kube" / "config"] if place.is_file()]
    if there:
        return _Config(there).access(context)
    if places:
        raise AccessError(f"KUBECONFIG: {os.environ['KUBECONFIG']}: no such file")
    if context:
        raise AccessError(f"--context {context}: there is no kubeconfig (--kubeconfig, KUBECONFIG, ~/.kube/config)")
    return in_cluster()


def in_cluster() -> Access:
    """The API server of the cluster that we run in.

    Raises:
        AccessError: we do not run in one.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    token, authority = SERVICE_ACCOUNT / "token", SERVICE_ACCOUNT / "ca.crt"
    if not host or not token.is_file():
        raise AccessError("no kubeconfig (--kubeconfig, KUBECONFIG, ~/.kube/config), and this is no pod of a cluster")
    try:
        tls = ssl.create_default_context(cafile=str(authority))
    except OSError as error:
        raise AccessError(f"{authority}: {error.strerror or error}") from None
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    return Access(server, tls, FileCredentials(token), inside=True)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A named cluster, user or context, and the file that it stands in."""

    path: Path
    where: str
    fields: Mapping[str, Any]

    def material(self, name: str) -> bytes:
        """A certificate or key: inline (`NAME-data`), or in a file."""
        try:
            if inline := self.fields.get(f"{name}-data"):
                return base64.b64decode(inline, validate=True)
            return (self.path.parent / self.fields[name]).read_bytes() if self.fields.get(name) else b""
        except (OSError, binascii.Error, ValueError, TypeError) as error:
            raise AccessError(f"{self.path}: {name}: {getattr(error, 'strerror', None) or error}") from None


class _Config:
    """One or several kubeconfigs as one."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = [(path, _read(path)) for path in paths]
        self._first = paths[0]

    def access(self, context: str) -> Access:
        """The server of a context, or of the current one."""
        given = context or next((one for _, file in self._files if (one := file.get("current-context"))), None)
        if given is None:
            raise AccessError(f"{self._first}: current-context: is not set, use --context")
        chosen = self._named("contexts", "context", given)
        cluster = self._named("clusters", "cluster", chosen.fields.get("cluster"))
        user = _Entry(self._first, "", {})
        if chosen.fields.get("user"):
            user = self._named("users", "user", chosen.fields["user"])
        for name, reason in _REFUSED.items():
            if user.fields.get(name):
                raise AccessError(f"{user.where}.{name}: {reason}")
        if cluster.fields.get("proxy-url"):
            raise AccessError(f"{cluster.where}.proxy-url: proxies are not supported")
        server = cluster.fields.get("server")
        if not isinstance(server, str) or not server.startswith(("https://", "http://")):
            raise AccessError(f"{cluster.where}.server: must be an http(s) address")
        tls = _tls(cluster, user) if server.startswith("https://") else None
        name = str(cluster.fields.get("tls-server-name") or "")
        return Access(server.rstrip("/"), tls, _credentials(cluster, user, tls), server_name=name)

    def _named(self, plural: str, singular: str, name: Any) -> _Entry:
        for path, file in self._files:
            for entry in file.get(plural) or ():
                if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(singular), dict):
                    return _Entry(path, f"{path}: {plural}[{name}].{singular}", entry[singular])
        raise AccessError(f"{self._first}: {plural}: there is no {name!r}")


def _read(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AccessError(f"{path}: {getattr(error, 'strerror', None) or ' '.join(str(error).split())}") from None
    if not isinstance(config, dict):
        raise AccessError(f"{path}: is no kubeconfig")
    return config


def _tls(cluster: _Entry, user: _Entry) -> ssl.SSLContext:
    authority = cluster.material("certificate-authority")
    try:
        tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise AccessError(f"{cluster.path}: certificates: {error}") from None
    if cluster.fields.get("insecure-skip-tls-verify"):
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    certificate, key = user.material("client-certificate"), user.material("client-key")
    if certificate and key:
        load_certificate(tls, str(user.path), certificate + b"\n" + key)
    return tls


def _credentials(cluster: _Entry, user: _Entry, tls: ssl.SSLContext | None) -> Credentials:
    fields = user.fields
    if fields.get("tokenFile"):
        return FileCredentials(user.path.parent / fields["tokenFile"])
    if fields.get("token"):
        return Credentials(str(fields["token"]))
    if fields.get("exec"):
        return PluginCredentials(_plugin(cluster, user), tls)
    return Credentials()


def _plugin(cluster: _Entry, user: _Entry) -> Plugin:
    where, given = f"{user.where}.exec", user.fields["exec"]
    if not isinstance(given, dict) or not given.get("command"):
        raise AccessError(f"{where}.command: must be set")
    version = given.get("apiVersion")
    if version not in VERSIONS:
        raise AccessError(f"{where}.apiVersion: {version!r} is not supported, use {' or '.join(VERSIONS)}")
    interactive = given.get("interactiveMode") or ("IfAvailable" if version == VERSIONS[1] else None)
    if interactive not in ("Never", "IfAvailable", "Always"):
        raise AccessError(f"{where}.interactiveMode: must be Never, IfAvailable or Always")
    args, env = given.get("args") or [], given.get("env") or []
    if not isinstance(args, list) or not all(isinstance(one, str) for one in args):
        raise AccessError(f"{where}.args: must be a list of strings")
    if not isinstance(env, list) or not all(isinstance(one, dict) and one.get("name") for one in env):
        raise AccessError(f"{where}.env: must be a list of name and value")
    command = str(given["command"])
    if os.sep in command:
        command = str((user.path.parent / command).absolute())
    return Plugin(
        where,
        command,
        version,
        tuple(args),
        {str(one["name"]): str(one.get("value") or "") for one in env},
        cast('Literal["Never", "IfAvailable", "Always"]', interactive),
        _told(cluster) if given.get("provideClusterInfo") else None,
        str(given.get("installHint") or ""),
    )


def _told(cluster: _Entry) -> dict[str, Any]:
    """What a plugin is told of the cluster."""
    fields = cluster.fields
    told = {
        name: fields[name] for name in ("server", "tls-server-name", "insecure-skip-tls-verify") if fields.get(name)
    }
    if authority := cluster.material("certificate-authority"):
        told["certificate-authority-data"] = base64.b64encode(authority).decode()
    for one in fields.get("extensions") or ():
        if isinstance(one, dict) and one.get("name") == _EXTENSION:
            told["config"] = one.get("extension")
    return told
