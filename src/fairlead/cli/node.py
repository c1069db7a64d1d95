"""`fairlead node`: the DRA drivers of a node."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from fairlead.cli.discover import discover, driver_option, machine_of, machine_options, node_name_option, record
from fairlead.cli.group import BAD_INPUT
from fairlead.cli.reach import kubeconfig_option

if TYPE_CHECKING:
    from fairlead.driver import Driver
    from fairlead.driver.http import HttpApi
    from fairlead.driver.node import NodeOptions
    from fairlead.telemetry import Format


@click.group(
    short_help="Run the DRA drivers of a node.", invoke_without_command=True, subcommand_metavar="[COMMAND [ARGS]...]"
)
@driver_option
@node_name_option
@machine_options
@click.option(
    "--pod-uid",
    envvar="POD_UID",
    default="",
    metavar="UID",
    help="UID of this pod, for updates without a gap: a new instance starts before the old one ends. Absent: POD_UID.",
)
@kubeconfig_option
@click.option(
    "--plugins-dir",
    type=click.Path(path_type=Path),
    default="/var/lib/kubelet/plugins",
    show_default=True,
    help="Where drivers have their folders; the same path on the host.",
)
@click.option(
    "--registry-dir",
    type=click.Path(path_type=Path),
    default="/var/lib/kubelet/plugins_registry",
    show_default=True,
    help="Where kubelet looks for drivers.",
)
@click.option(
    "--cdi-dir",
    type=click.Path(path_type=Path),
    default="/var/run/cdi",
    show_default=True,
    help="Where the container runtime reads CDI files.",
)
@click.option(
    "--shared-pools",
    is_flag=True,
    help="Publish the pools that many nodes reach, once for the cluster, and do nothing else; needs no kubelet.",
)
@click.option("--listen", default="", metavar="HOST:PORT", help="Serve /metrics, /healthz and /readyz there.")
@click.option(
    "--pod-resources",
    type=click.Path(path_type=Path),
    default="/var/lib/kubelet/pod-resources/kubelet.sock",
    show_default=True,
    help="Kubelet's socket that says what device plugins offer; what they offer is not published.",
)
@click.option("--health", "check", default="", metavar="HOST:PORT", help="Serve grpc.health.v1 there, for probes.")
@click.option(
    "--log-format", type=click.Choice(["json", "text"]), default="json", show_default=True, help="How to write the log."
)
@click.pass_context
def node(
    ctx: click.Context,
    drivers: Sequence[str],
    node_name: str,
    root: Path,
    recording: Path | None,
    pod_uid: str,
    kubeconfig: str | None,
    plugins_dir: Path,
    registry_dir: Path,
    cdi_dir: Path,
    shared_pools: bool,
    pod_resources: Path,
    listen: str,
    check: str,
    log_format: Literal["json", "text"],
) -> None:
    """Publish the devices of this node and prepare them for pods, with any number of drivers in one process.

    The log is on stderr, one line for each event. Exit status: 0 when it was told to stop, 2 when a driver, a
    socket or the configuration cannot be used.

    discover shows what would be published, and record keeps what discovery read; neither needs a cluster.

    \b
    Examples:
      fairlead cluster h100:nodes=1 > hardware.yaml
      fairlead node --driver simulated=hardware.yaml --node-name worker-1
      fairlead node --driver my_drivers.fpga:FpgaDriver --pod-uid $POD_UID --listen 0.0.0.0:8080
      fairlead node discover
      fairlead node record worker-1.yaml
    """
    if ctx.invoked_subcommand is not None:
        return
    if not drivers:
        raise click.UsageError("Missing option '--driver'.")
    try:
        import grpc  # noqa: F401
    except ImportError:
        click.echo("Error: fairlead node needs gRPC: pip install 'fairlead[driver]'", err=True)
        raise SystemExit(BAD_INPUT) from None
    from fairlead.driver.http import HttpApi
    from fairlead.driver.node import NodeOptions
    from fairlead.driver.sockets import SocketError
    from fairlead.drivers import DriverArgumentError, make
    from fairlead.hardware import RecordingError
    from fairlead.kubernetes import AccessError, find_access
    from fairlead.telemetry import ListenError

    options = NodeOptions(
        node_name,
        pod_uid,
        plugins_dir.absolute(),
        registry_dir.absolute(),
        cdi_dir.absolute(),
        check,
        listen,
        shared_pools=shared_pools,
        pod_resources=pod_resources.absolute(),
    )
    try:
        machine = machine_of(root, recording)
        made = [driver for text in drivers for driver in make(text, node_name, machine)]
        asyncio.run(_run(made, HttpApi(find_access(kubeconfig)), options, log_format))
    except (AccessError, DriverArgumentError, ListenError, RecordingError, SocketError) as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(BAD_INPUT) from None


node.add_command(discover)
node.add_command(record)


async def _run(drivers: Sequence[Driver], api: HttpApi, options: NodeOptions, format_: Format) -> None:
    from fairlead.driver.node import LEVELS, serve
    from fairlead.telemetry import Journal

    log = Journal(sys.stderr, LEVELS, format_)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with api:
        log("start", node=options.node, drivers=[driver.name for driver in drivers])
        await serve(drivers, api, options, log, stop)
        log("stop")
