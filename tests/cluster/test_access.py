"""Credential plugins, real programs, before a real API server.

Skipped where Kubernetes' programs are not built (`make kube`).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fairlead.controller import Client
from fairlead.kubernetes import ServerError, find_access
from kube import ControlPlane

pytestmark = pytest.mark.cluster

REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
WHO = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


class Login:
    """A kubeconfig with a plugin that prints what it was given last, and counts its runs."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.folder = folder
        script = folder / "login"
        script.write_text(f"#!/bin/sh\necho run >> '{folder}/runs'\ncat '{folder}/answer'\n")
        script.chmod(0o700)
        plugin = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "./login",
            "interactiveMode": "Never",
        }
        cluster = {"server": plane.api.server, "certificate-authority": str(plane.authority.certificate)}
        config = {
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"exec": plugin}}],
            "contexts": [{"name": "plugin", "context": {"cluster": "c", "user": "u"}}],
        }
        self.kubeconfig = folder / "config"
        self.kubeconfig.write_text(json.dumps(config))

    def gives(self, seconds: float | None = None, **status: str) -> None:
        """What the next runs print, good for some seconds."""
        if seconds is not None:
            status["expirationTimestamp"] = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
        (self.folder / "answer").write_text(json.dumps(answer))

    @property
    def runs(self) -> int:
        """How often the plugin ran."""
        return len((self.folder / "runs").read_text().splitlines())


@pytest.fixture
def login(control_plane: ControlPlane, tmp_path: Path) -> Login:
    """A plugin that has nothing to say yet."""
    return Login(control_plane, tmp_path)


async def who(client: Client) -> str:
    """The user that the API server takes us for."""
    answer: dict[str, Any] = json.loads(await client.request("POST", REVIEW, WHO, "application/json", 10))
    name: str = answer["status"]["userInfo"]["username"]
    return name


def silent(*_: object, **__: object) -> None:
    """Takes a log that nobody reads."""


def certificate(plane: ControlPlane, name: str) -> dict[str, str]:
    cert, key = plane.authority.issue(name)
    return {"clientCertificateData": cert.read_text(), "clientKeyData": key.read_text()}


def test_after_a_refusal_the_plugin_is_asked_once_more(control_plane: ControlPlane, login: Login) -> None:
    async def run() -> None:
        login.gives(token="revoked")
        async with Client(find_access(str(login.kubeconfig), "plugin"), silent) as client:
            login.gives(token=control_plane.api.token)
            names = await asyncio.gather(*(who(client) for _ in range(5)))
            assert set(names) == {"admin"}
            assert login.runs == 2, "once for all that were refused at one time"

    asyncio.run(run())


def test_a_refusal_that_stays_is_told(login: Login) -> None:
    async def run() -> None:
        login.gives(token="revoked")
        async with Client(find_access(str(login.kubeconfig), "plugin"), silent) as client:
            with pytest.raises(ServerError) as raised:
                await who(client)
            assert raised.value.status == 401

    asyncio.run(run())


def test_a_client_certificate_is_exchanged_before_it_ends(control_plane: ControlPlane, login: Login) -> None:
    async def run() -> None:
        login.gives(seconds=5, **certificate(control_plane, "first"))
        async with Client(find_access(str(login.kubeconfig), "plugin"), silent) as client:
            assert await who(client) == "first"
            login.gives(seconds=3600, **certificate(control_plane, "second"))
            assert await who(client) == "first", "it is good for some seconds yet"
            await asyncio.sleep(4.5)
            assert await who(client) == "second", "over a new connection"
            assert login.runs == 2

    asyncio.run(run())


def test_the_controller_works_with_a_plugin_and_a_named_context(control_plane: ControlPlane, login: Login) -> None:
    login.gives(seconds=3600, token=control_plane.api.token)
    command = [sys.executable, "-c", "from fairlead.cli import main; main()", "controller", "--once"]
    options = ["--kubeconfig", str(login.kubeconfig), "--context", "plugin"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert '"synced"' in done.stderr
    assert control_plane.api.token not in done.stderr
    assert login.runs == 1
