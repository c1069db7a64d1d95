"""`fairlead conformance`: whether a DRA driver does what kubelet, scheduler and runtime need."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import shutil
import signal
import tempfile
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import yaml

from fairlead.cli.group import BAD_INPUT

if TYPE_CHECKING:
    from fairlead.conformance import Check, Lab, Options, Report, Result

FAILED: Final = 1
"""Exit status where a check failed."""


@click.command(
    short_help="Try a DRA driver: registration, slices, preparing, restarts.",
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": True},
)
@click.argument("arguments", nargs=-1, metavar="[SOCKET_DIR | -- COMMAND...]")
@click.option("--list", "listed", is_flag=True, help="List the checks, with what they expect and why it matters.")
@click.option(
    "--check",
    "patterns",
    multiple=True,
    metavar="ID",
    help="Only these checks; * stands for anything, and a group for all of its checks. May be repeated.",
)
@click.option("--skip", "left_out", multiple=True, metavar="ID", help="Not these checks, written as for --check.")
@click.option(
    "--config",
    "configs",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Opaque parameters that the driver takes, as YAML or JSON. Given twice, the first are a class's, the second a "
    "claim's, and the claim's must win.",
)
@click.option(
    "--beside",
    multiple=True,
    metavar="COMMAND",
    help="A program of the driver that runs all the while and is not restarted, such as the one that publishes pools "
    "which many nodes reach. One text, with the same placeholders. May be repeated.",
)
@click.option("--node-name", default="node-1", show_default=True, metavar="NAME", help="The node that there is.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0.1),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a thing may take that must come about: a start, a repaired slice. Drivers in Go repair slices after "
    "30 to 90 seconds.",
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep sockets, CDI files and the driver's log there, in place of a temporary folder. A short path.",
)
@click.option(
    "--kubeconfig-out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="For a driver that runs already: where to write how it reaches the API server.",
)
@click.option(
    "--cdi-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default="/var/run/cdi",
    show_default=True,
    help="For a driver that runs already: where it writes CDI files.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the API server. Absent: any free one.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "yaml"]),
    default="text",
    show_default=True,
    help="json and yaml: {driver, passed, failed, skipped, checks: [{id, verdict, seen, expected, why}]}.",
)
def conformance(
    arguments: tuple[str, ...],
    listed: bool,
    patterns: tuple[str, ...],
    left_out: tuple[str, ...],
    configs: tuple[Path, ...],
    beside: tuple[str, ...],
    node_name: str,
    patience: float,
    folder: Path | None,
    kubeconfig_out: Path | None,
    cdi_dir: Path,
    port: int,
    output: str,
) -> None:
    """Try a DRA driver in any language, without a cluster: a kubelet and an API server that are not there drive it
    through registration, publishing, preparing, failures and restarts, and judge what it does.

    The driver is a COMMAND, which is started and killed many times; in it {plugins} {registry} {cdi} {kubeconfig}
    {node} {dir} {pod_uid} stand for the folders and values of the run, which the environment has, too (KUBECONFIG,
    NODE_NAME, CDI_ROOT, KUBELET_PLUGINS_DIRECTORY_PATH, KUBELET_REGISTRAR_DIRECTORY_PATH). With {pod_uid} in it an
    update without a gap is tried. Or it runs already and has its registration socket in SOCKET_DIR; then what needs a
    restart is skipped. Nothing outside of the folders is touched.

    Exit status: 0 when no check failed, 1 when one did, 2 when the driver cannot be tried.

    \b
    Examples:
      fairlead conformance --list
      fairlead conformance -- fairlead node --driver simulated=hardware.yaml --node-name {node} \\
          --kubeconfig {kubeconfig} --plugins-dir {plugins} --registry-dir {registry} --cdi-dir {cdi}
      fairlead conformance \\
          --beside 'fairlead node --shared-pools --driver fabric=pools.yaml --kubeconfig {kubeconfig}' -- \\
          fairlead node --driver fabric=node.yaml --node-name {node} --kubeconfig {kubeconfig} \\
          --plugins-dir {plugins} --registry-dir {registry} --cdi-dir {cdi}
      fairlead conformance -o json --check 'slices-*' -- ./my-driver --kubeconfig {kubeconfig} | jq .failed
      fairlead conformance /var/lib/kubelet/plugins_registry --kubeconfig-out /tmp/conformance.kubeconfig
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # connections that break are part of the game
    try:
        import grpc  # noqa: F401
    except ImportError:
        click.echo("Error: fairlead conformance needs gRPC: pip install 'fairlead[driver]'", err=True)
        raise SystemExit(BAD_INPUT) from None
    from fairlead.conformance import Options, catalogue, list_of_checks

    wanted = _chosen(catalogue(), patterns, left_out)
    if listed:
        _print(list_of_checks(wanted, output == "text"), output)
        return
    socket_dir = _socket_dir(arguments, kubeconfig_out)
    besides = tuple(map(_words, beside))
    root = folder.absolute() if folder is not None else Path(tempfile.mkdtemp(prefix="fl", dir="/tmp"))
    root.mkdir(parents=True, exist_ok=True)
    options = Options(
        root=root,
        command=() if socket_dir is not None else arguments,
        node=node_name,
        registry=socket_dir,
        cdi=cdi_dir.absolute() if socket_dir is not None else None,
        patience=patience,
        configs=tuple(map(_parameters, configs)),
        beside=besides,
    )
    try:
        report = _run(options, wanted, output, port, kubeconfig_out)
    finally:
        if folder is None:
            shutil.rmtree(root, ignore_errors=True)
    if report.count("fail"):
        if folder is None:
            click.echo("What the driver printed is kept with --dir DIR.", err=True)
        raise SystemExit(FAILED)


def _run(options: Options, wanted: Sequence[Check], output: str, port: int, kubeconfig_out: Path | None) -> Report:
    from fairlead.conformance import as_text, line_of, record, run

    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    group = ""

    def tell(result: Result) -> None:
        nonlocal group
        if output == "text":
            if result.check.group != group:
                group = result.check.group
                click.echo(group)
            click.echo(line_of(result))

    def ready(lab: Lab) -> None:
        if kubeconfig_out is not None:
            kubeconfig_out.write_bytes(lab.kubeconfig.read_bytes())
            click.echo(f"{kubeconfig_out}: written; start the driver with it now", err=True)

    async def until_told() -> Report:
        # Told to end, the driver is ended first.
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await run(options, wanted, tell, port, ready)

    try:
        report = asyncio.run(until_told())
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGTERM) from None
    _print(as_text(report) if output == "text" else record(report), output)
    return report


def _chosen(checks: Sequence[Check], patterns: Sequence[str], left_out: Sequence[str]) -> list[Check]:
    def matching(pattern: str) -> Callable[[Check], bool]:
        if not any(fnmatchcase(one.id, pattern) or one.group == pattern for one in checks):
            raise click.UsageError(f"{pattern}: is no check; fairlead conformance --list has them")
        return lambda one: fnmatchcase(one.id, pattern) or one.group == pattern

    yes, no = [matching(one) for one in patterns], [matching(one) for one in left_out]
    found = [one for one in checks if (not yes or any(m(one) for m in yes)) and not any(m(one) for m in no)]
    if not found:
        raise click.UsageError("no check is left")
    return found


def _socket_dir(arguments: tuple[str, ...], kubeconfig_out: Path | None) -> Path | None:
    """The folder of a driver that runs already; None for a command."""
    if not arguments:
        raise click.UsageError("give the driver's command after --, or the folder of its registration socket")
    if kubeconfig_out is None:
        if len(arguments) == 1 and Path(arguments[0]).is_dir():
            raise click.UsageError(f"{arguments[0]}: for a driver that runs already give --kubeconfig-out, too")
        if shutil.which(arguments[0]) is None and not Path(arguments[0]).is_dir():
            raise click.UsageError(f"{arguments[0]}: no such program")
        return None
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        raise click.UsageError("with --kubeconfig-out give one folder, that of the driver's registration socket")
    return Path(arguments[0]).absolute()


def _words(command: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise click.UsageError(f"--beside {command!r}: {error}") from None
    if not words or shutil.which(words[0]) is None:
        raise click.UsageError(f"--beside {command!r}: no such program")
    return words


def _parameters(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text())
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise click.UsageError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise click.UsageError(f"{path}: must be an object with apiVersion and kind")
    return value


def _print(value: Any, output: str) -> None:
    if output == "json":
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    elif output == "yaml":
        click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), nl=False)
    else:
        click.echo(value)
