"""Kubeconfigs: what is used of them, and what is said of those that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.controller import AccessError, find_access


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
    assert (access.server, access.tls, access.token()) == ("http://127.0.0.1:8001", None, "secret")


def test_a_token_file_is_found_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    assert find_access(str(write(tmp_path, {"server": "http://x"}, {"tokenFile": "token"}))).token() == "secret"


def test_kubeconfig_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{write(tmp_path, {'server': 'http://x'}, {})}")
    assert find_access().server == "http://x"


@pytest.mark.parametrize(
    ("cluster", "user", "current", "said"),
    [
        ({"server": "http://x"}, {}, "other", "contexts: there is no 'other'"),
        ({}, {}, "c", "clusters[k].cluster.server: must be an http(s) address"),
        ({"server": "http://x"}, {"exec": {"command": "login"}}, "c", "users[u].user.exec: credential plugins"),
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
