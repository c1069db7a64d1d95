"""Kubeconfigs: what is used of them, and what is said of those that cannot be used."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.kubernetes import AccessError, find_access


def write(folder: Path, cluster: dict[str, Any], user: dict[str, Any], current: str = "c") -> Path:
    path = folder / "config"
    config = {
        "current-context": current,
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def test_the_current_context_is_used(tmp_path: Path) -> None:
    access = find_access(str(write(tmp_path, {"server": "http://127.0.0.1:8001/"}, {"token": "secret"})))
    assert (access.server, access.tls, access.credentials.token) == ("http://127.0.0.1:8001", None, "secret")


def test_a_token_file_is_found_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    assert (
        find_access(str(write(tmp_path, {"server": "http://x"}, {"tokenFile": "token"}))).credentials.token == "secret"
    )


def test_kubeconfig_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{write(tmp_path, {'server': 'http://x'}, {})}")
    assert find_access().server == "http://x"


@pytest.mark.parametrize(
    ("cluster", "user", "current", "said"),
    [
        ({"server": "http://x"}, {}, "other", "contexts: there is no 'other'"),
        ({}, {}, "c", "clusters[k].cluster.server: must be an http(s) address"),
        ({"server": "http://x"}, {"auth-provider": {"name": "gcp"}}, "c", "users[u].user.auth-provider: is not"),
        ({"server": "http://x"}, {"as": "admin"}, "c", "users[u].user.as: impersonation"),
        ({"server": "http://x", "proxy-url": "http://p"}, {}, "c", "clusters[k].cluster.proxy-url: proxies are not"),
        ({"server": "https://x", "certificate-authority": "missing.pem"}, {}, "c", "certificate-authority: No such"),
        ({"server": "https://x", "certificate-authority-data": "%"}, {}, "c", "certificate-authority: "),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], current: str, said: str
) -> None:
    with pytest.raises(AccessError) as raised:
        find_access(str(write(tmp_path, cluster, user, current)))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_several_files_are_one_and_the_first_that_names_something_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "a": {"users": [{"name": "u", "user": {"tokenFile": "t"}}]},
        "b": {
            "current-context": "two",
            "contexts": [{"name": "two", "context": {"cluster": "k", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "not this"}}],
        },
        "c": {
            "current-context": "not this",
            "contexts": [{"name": "three", "context": {"cluster": "k"}}],
            "clusters": [{"name": "k", "cluster": {"server": "http://x"}}],
        },
    }
    for name, config in files.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config").write_text(yaml.safe_dump(config))
        (folder / "t").write_text(f"token of {name}")
    monkeypatch.setenv("KUBECONFIG", ":".join(str(tmp_path / name / "config") for name in ("a", "missing", "b", "c")))
    assert find_access().credentials.token == "token of a"
    assert find_access(context="three").credentials.token == ""
    with pytest.raises(AccessError, match="contexts: there is no 'four'"):
        find_access(context="four")


def test_a_token_file_is_read_again_after_a_refusal_and_goes_on_while_it_is_missing(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one")
    credentials = find_access(str(write(tmp_path, {"server": "http://x"}, {"tokenFile": "token"}))).credentials
    assert (credentials.token, credentials.stale) == ("one", False)
    (tmp_path / "token").write_text("two")
    assert credentials.refused("one")
    assert credentials.stale
    credentials.renew()
    assert credentials.token == "two"
    (tmp_path / "token").unlink()
    credentials.refused("two")
    credentials.renew()
    assert credentials.token == "two"


# Credential plugins: real programs


def plugin(folder: Path, body: str, **fields: Any) -> Path:
    """A kubeconfig whose user runs a script beside it; the script counts its runs in `runs`."""
    script = folder / "login"
    script.write_text(f"#!/bin/sh\necho run >> '{folder}/runs'\n{body}\n")
    script.chmod(0o700)
    given = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./login",
        "interactiveMode": "Never",
        **fields,
    }
    return write(folder, {"server": "http://x"}, {"exec": {k: v for k, v in given.items() if v is not None}})


def printed(status: dict[str, Any], version: str = "v1") -> str:
    answer = {"apiVersion": f"client.authentication.k8s.io/{version}", "kind": "ExecCredential", "status": status}
    return f"echo '{json.dumps(answer)}'"


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


def test_a_plugin_gets_arguments_environment_and_what_it_asks_for(tmp_path: Path) -> None:
    body = f"""echo "$1 $COLOUR" > '{tmp_path}/got'; echo "$KUBERNETES_EXEC_INFO" > '{tmp_path}/info'
{printed({"token": "secret"}, "v1beta1")}"""
    path = plugin(
        tmp_path,
        body,
        apiVersion="client.authentication.k8s.io/v1beta1",
        interactiveMode=None,
        args=["first"],
        env=[{"name": "COLOUR", "value": "red"}],
        provideClusterInfo=True,
    )
    assert find_access(str(path)).credentials.token == "secret"
    assert (tmp_path / "got").read_text() == "first red\n"
    info = json.loads((tmp_path / "info").read_text())
    assert info["apiVersion"] == "client.authentication.k8s.io/v1beta1"
    assert info["spec"]["cluster"] == {"server": "http://x"}
    assert not info["spec"]["interactive"]


def test_a_plugin_without_an_end_runs_once_until_it_is_refused(tmp_path: Path) -> None:
    credentials = find_access(str(plugin(tmp_path, printed({"token": "secret"})))).credentials
    assert not credentials.stale
    assert credentials.refused("another"), "it has been renewed since"
    assert not credentials.stale
    assert credentials.refused("secret")
    assert credentials.stale
    credentials.renew()
    assert runs(tmp_path) == 2


def test_a_plugin_is_run_again_before_its_token_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = "2030-01-01T00:00:00Z"
    start = datetime.fromisoformat(ends).timestamp() - 3600
    now = start
    monkeypatch.setattr("fairlead.kubernetes.credentials.time.time", lambda: now)
    body = printed({"token": "secret", "expirationTimestamp": ends})
    credentials = find_access(str(plugin(tmp_path, body))).credentials
    now = start + 3600 - 61
    assert not credentials.stale
    now = start + 3600 - 59
    assert credentials.stale
    (tmp_path / "login").write_text("#!/bin/sh\nexit 1\n")
    credentials.renew()
    assert credentials.token == "secret", "it is good for another minute"
    now = start + 3601
    with pytest.raises(AccessError, match="ended with status 1"):
        credentials.renew()
    with pytest.raises(AccessError, match="ended with status 1"):
        _ = credentials.token
    assert not credentials.stale, "not at every request"


@pytest.mark.parametrize(
    ("body", "fields", "said"),
    [
        ("echo no such account >&2; exit 3", {}, "login ended with status 3: no such account"),
        ("echo hello", {}, "printed no JSON"),
        ("echo '{}'", {}, "printed no ExecCredential"),
        (printed({"token": "x"}, "v1beta1"), {}, "answered in client.authentication.k8s.io/v1beta1"),
        (printed({}), {}, "gave neither a token nor a client certificate"),
        (printed({"clientCertificateData": "x"}), {}, "go together"),
        (printed({"token": "x", "expirationTimestamp": "soon"}), {}, "expirationTimestamp 'soon' is no time"),
        (
            "",
            {"command": "./missing", "installHint": "apt\ninstall"},
            "missing: No such file or directory (apt install)",
        ),
        ("", {"command": None}, "exec.command: must be set"),
        ("", {"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "exec.apiVersion: "),
        ("", {"interactiveMode": None}, "exec.interactiveMode: must be Never, IfAvailable or Always"),
        ("", {"interactiveMode": "Always"}, "there is no terminal"),
        ("", {"args": "x"}, "exec.args: must be a list of strings"),
    ],
)
def test_what_a_plugin_does_wrong_is_one_line(
    tmp_path: Path, body: str, fields: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(AccessError) as raised:
        find_access(str(plugin(tmp_path, body, **fields)))
    assert said in str(raised.value)
    assert "users[u].user.exec" in str(raised.value)
    assert "\n" not in str(raised.value)
