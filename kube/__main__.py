"""`python -m kube build` and `python -m kube up`; see the package."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
import time
from contextlib import ExitStack

from kube.binaries import NODE, MissingProgramError, kubernetes_version, programs_folder
from kube.build import DEFAULT, SOURCES, BuildError, build
from kube.certificates import CertificateError
from kube.node import NodeError, RealNode
from kube.node_config import IMAGE
from kube.nodes import add_cluster, cluster_objects
from kube.plane import ControlPlane, Options, PlaneError


def main() -> int:
    """Runs one command; exit status 0, 1 when it failed, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m kube", description="Real Kubernetes for tests and by hand.")
    commands = parser.add_subparsers(dest="command", required=True)
    built = commands.add_parser("build", help="build the programs that are not there yet")
    built.add_argument(
        "program", nargs="*", default=list(DEFAULT), help=f"of {', '.join(SOURCES)}; `node` for those of a node"
    )
    up = commands.add_parser("up", help="run a control plane until Ctrl-C")
    up.add_argument("--cluster", metavar="SPEC", help="fake nodes with devices, as `fairlead cluster` takes it")
    up.add_argument("--gates", choices=["dra", "default"], default="dra", help="all gates of DRA (default), or none")
    up.add_argument("--qps", type=int, default=5000, help="of controller manager and scheduler (default %(default)s)")
    up.add_argument(
        "--flag", action="append", default=[], metavar="PROGRAM=FLAG", help="for example kube-scheduler=-v=5"
    )
    up.add_argument("--node", action="store_true", help="a real node besides, with kubelet and containerd; needs root")
    up.add_argument("--keep", action="store_true", help="leave the folders with the logs")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs would ignore the first
        signal.signal(number, signal.default_int_handler)
    try:
        if arguments.command == "build":
            return _build(arguments.program)
        return _up(arguments)
    except (BuildError, CertificateError, MissingProgramError, NodeError, PlaneError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _build(given: list[str]) -> int:
    started = time.monotonic()
    programs = [name for one in given for name in (NODE if one == "node" else (one,))]

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    folder = build(programs, say)
    if (took := time.monotonic() - started) > 1:
        say(f"took {took:.0f} s")
    print(f"Kubernetes {kubernetes_version()}: {folder}")
    return 0


def _up(arguments: argparse.Namespace) -> int:
    flags: dict[str, list[str]] = {}
    for given in arguments.flag:
        program, _, flag = given.partition("=")
        flags.setdefault(program, []).append(flag)
    options = Options(
        gates=None if arguments.gates == "dra" else {}, qps=arguments.qps, flags=flags, keep=arguments.keep
    )
    objects = cluster_objects(arguments.cluster) if arguments.cluster else []
    with ControlPlane(options) as plane, ExitStack() as more:
        print(f"{plane.api.get('/version')['gitVersion']} is up after {plane.start_seconds:.1f} s", file=sys.stderr)
        if objects:
            made = add_cluster(plane.api, objects)
            print(f"made {len(made)} objects of {arguments.cluster}", file=sys.stderr)
        if arguments.node:
            node = more.enter_context(RealNode(plane, options.gates, options.keep))
            print(
                f"node {node.name} is ready, with the image {IMAGE}; its logs are in {node.folder / 'logs'}.",
                file=sys.stderr,
            )
            print("A shell on it:", file=sys.stderr)
            print(f"  {shlex.join(node.inside())} bash", file=sys.stderr)
        kubectl = programs_folder() / "kubectl"
        print(f"logs are in {plane.folder / 'logs'}; Ctrl-C ends it. Try:", file=sys.stderr)
        print(f"  {shlex.quote(str(kubectl))} --kubeconfig {plane.kubeconfig} get nodes", file=sys.stderr)
        print(plane.kubeconfig, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopping", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
