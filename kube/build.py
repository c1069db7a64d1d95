"""Builds Kubernetes' programs from the Go module registry into a folder outside the repository, once a machine.

Kubernetes' own modules ask for each other as v0.0.0 and replace that by folders of their repository. A module of ours
that replaces them by the published versions of the same release builds every program of it. Go checks all of it
against the checksum database.

Invariants: a program appears under its name only when it is whole (it is built under another name and renamed); two
calls at once do not build the same thing twice (a lock); a call with nothing missing starts nothing.

Source of the way and of `-X ...gitVersion`: Kubernetes' hack/lib/version.sh; without a version the API server refuses
to compare itself with what it emulates.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kube.binaries import CONTROL_PLANE, GUEST, GUEST_SOURCE, PINS, cache_folder, kubernetes_version

KUBERNETES = "k8s.io/kubernetes"
CONTAINERD = "github.com/containerd/containerd/v2"
HELM = "helm.sh/helm/v3"
DEFAULT = (*CONTROL_PLANE, "kubectl")
PROGRESS_SECONDS = 20.0

Say = Callable[[str], None]


class BuildError(Exception):
    """A program could not be built; the message says why, in Go's words where Go was asked."""


@dataclass(frozen=True, slots=True)
class Source:
    """From what a program is built.

    Attributes:
        module: the module; empty for a program of our own, in Go's standard library alone.
        package: the package in it; of a program of our own the file.
        tags: build tags.
    """

    module: str
    package: str
    tags: str = ""


SOURCES = {
    "etcd": Source(KUBERNETES, "go.etcd.io/etcd/server/v3"),
    **{
        name: Source(KUBERNETES, f"{KUBERNETES}/cmd/{name}")
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kubelet")
    },
    **{
        name: Source(CONTAINERD, f"{CONTAINERD}/cmd/{name}", "no_btrfs no_zfs no_devmapper")
        for name in ("containerd", "containerd-shim-runc-v2", "ctr")
    },
    "helm": Source(HELM, f"{HELM}/cmd/helm"),
    GUEST: Source("", str(GUEST_SOURCE)),
}

_PINNED_AS = {CONTAINERD: "containerd", HELM: "helm"}
"""The names of the modules' versions in versions.toml."""


def build(names: Sequence[str] = DEFAULT, say: Say = print) -> Path:
    """Builds those of the programs that are not there yet.

    Returns:
        The folder they are in.

    Raises:
        BuildError: there is no Go, or it fails; what was complete before stays.
    """
    folder = cache_folder()
    unknown = [name for name in names if name not in SOURCES]
    if unknown:
        raise BuildError(f"no such program: {', '.join(unknown)}; there are {', '.join(SOURCES)}")
    if not _missing(folder, names):
        return folder
    go = _go()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            missing = _missing(folder, names)
            for module in dict.fromkeys(SOURCES[name].module for name in missing):
                _build_module(go, folder, [name for name in missing if SOURCES[name].module == module], module, say)
    except OSError as error:
        raise BuildError(f"cannot write to {folder}: {error.strerror}; name another in FAIRLEAD_KUBE_CACHE") from None
    return folder


def _missing(folder: Path, names: Sequence[str]) -> list[str]:
    return [name for name in names if not (folder / name).exists()]


def _go() -> str:
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        raise BuildError(
            "Kubernetes is built with Go, and there is no `go` here: install it (go.dev/dl, or your system's package "
            "in the version that Kubernetes' go.mod asks for), or name a folder with etcd, kube-apiserver, "
            "kube-controller-manager and kube-scheduler in KUBEBUILDER_ASSETS"
        )
    return go


def _build_module(go: str, folder: Path, names: Sequence[str], module: str, say: Say) -> None:
    """Builds programs of one module, in a module of ours that requires it."""
    version = _version(module)
    with tempfile.TemporaryDirectory(prefix="fairlead-kube-build-") as work:
        flags = f"{os.environ.get('GOFLAGS', '')} -mod=mod -buildvcs=false".strip()
        builder = _Builder(go, Path(work), {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": flags}, say)
        if module:
            say(f"fetching {module} v{version} and what it needs")
        (Path(work) / "go.mod").write_text(_manifest(builder, module, version))
        for number, name in enumerate(names, start=1):
            say(f"building {name} {version} ({number} of {len(names)})")
            started = time.monotonic()
            half = folder / f".{name}.{os.getpid()}"
            try:
                builder.build(SOURCES[name], name, half, _linked(module, version))
                half.rename(folder / name)
            finally:
                half.unlink(missing_ok=True)
            size = (folder / name).stat().st_size / 1e6
            say(f"built {name} in {time.monotonic() - started:.0f} s: {size:.0f} MB")


def _version(module: str) -> str:
    if module == KUBERNETES:
        return kubernetes_version()
    return PINS[_PINNED_AS[module]] if module else ""


def _manifest(builder: _Builder, module: str, version: str) -> str:
    """The go.mod in which programs of a module are built."""
    if not module:
        return "module fairlead.dev/kube\n"
    downloaded = builder.run("mod", "download", "-json", f"{module}@v{version}")
    try:
        return go_mod(module, version, Path(json.loads(downloaded)["GoMod"]).read_text())
    except (ValueError, KeyError):
        raise BuildError(f"go mod download {module}@v{version} said: {downloaded.strip()[:500]}") from None


def go_mod(module: str, version: str, theirs: str) -> str:
    """Our go.mod for a module: it requires it, and replaces the modules that `theirs`, its go.mod, has as folders.

    Kubernetes 1.N.P publishes those as v0.N.P.
    """
    lines = [line.split("//")[0].split() for line in theirs.splitlines()]
    needed = next(words[1] for words in lines if words[:1] == ["go"])
    staging = [
        words[0] for words in lines if len(words) == 3 and words[1] == "=>" and words[2].startswith("./staging/")
    ]
    published = "v0." + version.split(".", 1)[1]
    replaced = "".join(f"\t{name} => {name} {published}\n" for name in staging)
    text = f"module fairlead.dev/kube\n\ngo {needed}\n\nrequire {module} v{version}\n"
    return text + (f"\nreplace (\n{replaced})\n" if replaced else "")


def _linked(module: str, version: str) -> str:
    """Flags for the linker: no debug information, and the version where the program reports it from."""
    values: dict[str, str] = {}
    if not module:
        pass
    elif module == CONTAINERD:
        values = {f"{CONTAINERD}/version.Version": f"v{version}"}
    elif module == HELM:
        # The Kubernetes that charts are rendered for where no cluster is asked.
        major, minor = kubernetes_version().split(".")[:2]
        values = {
            f"{HELM}/internal/version.version": f"v{version}",
            **{
                f"{HELM}/pkg/{package}.{name}": value
                for package in ("chartutil", "lint/rules")
                for name, value in (("k8sVersionMajor", major), ("k8sVersionMinor", minor))
            },
        }
    else:
        major, minor = version.split(".")[:2]
        values = {
            f"{package}.{name}": value
            for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
            for name, value in (("gitVersion", f"v{version}"), ("gitMajor", major), ("gitMinor", minor))
        }
    return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in values.items())])


@dataclass(frozen=True, slots=True)
class _Builder:
    """Go, in one folder."""

    go: str
    folder: Path
    environment: dict[str, str]
    say: Say

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.go, *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise BuildError(f"go {' '.join(arguments)} failed:\n{_last(done.stderr or done.stdout)}")
        return done.stdout

    def build(self, source: Source, name: str, target: Path, linked: str) -> None:
        """Builds one program, and says now and then how far it is."""
        command = [self.go, "build", "-v", "-trimpath", "-ldflags", linked, "-tags", source.tags, "-o", str(target)]
        told = self.folder / "build.log"
        with told.open("w") as log:
            process = subprocess.Popen(
                [*command, source.package], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
            started = spoke = time.monotonic()
            try:
                while process.poll() is None:
                    time.sleep(0.2)
                    now = time.monotonic()
                    if now - spoke > PROGRESS_SECONDS:
                        spoke = now
                        packages = told.read_bytes().count(b"\n")
                        self.say(f"  {name}: {packages} packages fetched or compiled in {now - started:.0f} s")
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        if process.returncode != 0:
            raise BuildError(f"go build {source.package} failed:\n{_last(told.read_text())}")


def _last(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-15:])
