"""Building Kubernetes' programs: what is asked of Go, and what is said when it cannot be done. Builds nothing real."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kube import MissingProgramError, find_programs
from kube.binaries import GUEST
from kube.build import CONTAINERD, KUBERNETES, BuildError, build, go_mod

THEIRS = """
module k8s.io/kubernetes

go 1.26.0

require (
	k8s.io/api v0.0.0 // indirect
	go.etcd.io/etcd/client/v3 v3.7.0
)

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/other => k8s.io/other v1.0.0
)
"""
FAKE_GO = """#!/bin/sh
echo "$@" >> "{log}"
case "$1 $2" in
"mod download") echo '{{"GoMod": "{manifest}"}}' ;;
build*) {build} ;;
esac
"""


def fake_go(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """A `go` that writes down how it is called; `script` is what it does for a build."""
    folder.mkdir()
    log, manifest, program = folder / "log", folder / "theirs.mod", folder / "go"
    manifest.write_text(THEIRS)
    program.write_text(FAKE_GO.format(log=log, manifest=manifest, build=script))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return log


WRITES = 'while [ "$1" != -o ]; do shift; done; printf whole > "$2"; chmod +x "$2"'


def test_folders_of_their_repository_become_published_modules() -> None:
    text = go_mod(KUBERNETES, "1.37.2", THEIRS)
    assert "go 1.26.0\n" in text
    assert "require k8s.io/kubernetes v1.37.2\n" in text
    assert "\tk8s.io/api => k8s.io/api v0.37.2\n" in text
    assert "k8s.io/other" not in text


def test_a_module_without_folders_needs_no_replacement() -> None:
    assert "replace" not in go_mod(CONTAINERD, "2.4.2", "module x\n\ngo 1.26\n")


def test_a_second_call_starts_nothing(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = fake_go(tmp_path / "bin", monkeypatch, WRITES)
    said: list[str] = []
    assert build(["etcd", "kubectl"], said.append) == cache
    calls = log.read_text()
    assert sorted(path.name for path in cache.iterdir()) == [".lock", "etcd", "kubectl"]
    assert "k8s.io/component-base/version.gitVersion=v1.37.2" in calls
    assert any("(2 of 2)" in line for line in said)
    build(["etcd", "kubectl"], said.append)
    assert log.read_text() == calls


def test_only_what_is_missing_is_built(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = fake_go(tmp_path / "bin", monkeypatch, WRITES)
    cache.mkdir(parents=True)
    (cache / "etcd").write_text("there")
    build(["etcd", "kubectl"], lambda line: None)
    assert (cache / "etcd").read_text() == "there"
    assert log.read_text().count("build ") == 1


def test_a_program_of_our_own_is_fetched_from_nowhere(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = fake_go(tmp_path / "bin", monkeypatch, WRITES)
    build([GUEST], lambda line: None)
    assert (cache / GUEST).exists()
    assert log.read_text().count("\n") == 1
    assert log.read_text().startswith("build ")
    assert log.read_text().endswith("guest/main.go\n")


def test_a_failed_build_leaves_nothing_and_says_what_go_said(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_go(tmp_path / "bin", monkeypatch, f"{WRITES}; echo 'no space left' >&2; exit 1")
    with pytest.raises(BuildError, match="no space left"):
        build(["etcd"], lambda line: None)
    assert [path.name for path in cache.iterdir()] == [".lock"]


def test_without_go_the_message_names_it_and_the_other_way(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BuildError, match=r"no `go` here.*KUBEBUILDER_ASSETS"):
        build(["etcd"], lambda line: None)


def test_unknown_programs_are_named(cache: Path) -> None:
    with pytest.raises(BuildError, match="no such program: kube-proxy; there are etcd, "):
        build(["kube-proxy"], lambda line: None)


def test_missing_programs_are_named_with_the_way_to_get_them(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "etcd").touch(0o755)
    with pytest.raises(MissingProgramError, match=r"^no kube-apiserver, .*kube-scheduler in .*make kube"):
        find_programs()
    assert find_programs(["etcd"]) == {"etcd": cache / "etcd"}
    with pytest.raises(MissingProgramError, match=r"no kubelet in .*make kube-node"):
        find_programs(["etcd", "kubelet"])


def test_assets_win_over_the_cache(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir(parents=True)
    (cache / "etcd").touch(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(MissingProgramError, match="KUBEBUILDER_ASSETS names that folder"):
        find_programs(["etcd"])
