"""`fairlead dpu-agent`: the agent on a DPU."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from fairlead.cli.group import BAD_INPUT

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("dpu-agent", short_help="Run the agent on a DPU, for the driver on its host.")
@click.option(
    "--listen",
    default="unix:/run/fairlead/dpu-agent.sock",
    show_default=True,
    metavar="ADDRESS",
    help="unix:PATH or HOST:PORT. Beyond this machine only with TLS.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    default="/var/lib/fairlead/dpu-agent/state.json",
    show_default=True,
    help="What is held for claims; must outlive the agent.",
)
@click.option("--token-file", type=_FILE, help="Callers must give the token in this file.")
@click.option("--tls-cert", type=_FILE, help="The agent's certificate.")
@click.option("--tls-key", type=_FILE, help="Its key.")
@click.option("--tls-ca", type=_FILE, help="The authority of the certificates that callers must have.")
@click.option(
    "--tls-client",
    "tls_clients",
    multiple=True,
    metavar="NAME",
    help="Whose certificates they must be: a common or alternative name, or * for all of the authority; may be "
    "repeated. With TLS one must be given.",
)
@click.option(
    "--bridge",
    "bridges",
    multiple=True,
    metavar="NAME",
    help="A bridge that claims may use; may be repeated. Absent: all of the DPU.",
)
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="NAME=COUNT",
    help="A service of the DPU that claims may take amounts of, such as nvmeSnap=8 or virtioNet=16; may be repeated.",
)
@click.option(
    "--service-program",
    default="",
    metavar="PROGRAM",
    help="Sets services up: PROGRAM apply|release CLAIM-UID NAME COUNT. Absent: they are only counted.",
)
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default="/",
    metavar="DIR",
    help="Where the DPU's / is mounted, whose /etc/mlnx-release and /sys are read. Absent: /.",
)
def dpu_agent(
    listen: str,
    state: Path,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_ca: Path | None,
    tls_clients: Sequence[str],
    bridges: Sequence[str],
    services: Sequence[str],
    service_program: str,
    root: Path,
) -> None:
    """Make functions of this DPU ready for claims: sub-functions, addresses, rates, ports of bridges.

    It needs devlink, ip and bridge of iproute2, and ovs-vsctl for bridges of Open vSwitch, and the rights of root. The
    log is on stderr, one line of JSON for each event. Exit status: 0 when it was told to stop, 2 when it cannot listen
    or an option cannot be used.

    \b
    Examples:
      fairlead dpu-agent --listen 192.168.100.2:8443 --tls-cert tls.crt --tls-key tls.key --tls-ca ca.crt \\
          --tls-client fairlead-dpu-driver --bridge br-tenant
      fairlead dpu-agent --service nvmeSnap=8 --service-program /opt/snap/claim
    """
    try:
        import grpc  # noqa: F401
    except ImportError:
        click.echo("Error: fairlead dpu-agent needs gRPC: pip install 'fairlead[driver]'", err=True)
        raise SystemExit(BAD_INPUT) from None
    from fairlead.drivers.bluefield.agent import AgentOptions, ListenError, Tls, serve

    tls = None
    if tls_cert or tls_key or tls_ca or tls_clients:
        if not (tls_cert and tls_key and tls_ca):
            raise click.UsageError("--tls-cert, --tls-key and --tls-ca belong together.")
        if not tls_clients:
            raise click.UsageError("--tls-client: must say whose certificates are taken, or * for all of --tls-ca.")
        tls = Tls(tls_cert, tls_key, tls_ca, tls_clients)
    if token_file and not token_file.read_bytes().strip():
        raise click.UsageError(f"--token-file: {token_file} is empty.")
    counts = _counts(services)
    options = AgentOptions(
        listen, state.absolute(), token_file, tls, counts, service_program, root, bridges=tuple(bridges)
    )
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    try:
        serve(options, _log, stop)
    except ListenError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(BAD_INPUT) from None


def _counts(services: Sequence[str]) -> dict[str, int]:
    counts = {}
    for text in services:
        name, _, count = text.partition("=")
        if not name.isidentifier() or len(name) > 32 or not count.isdigit() or name in counts:
            raise click.UsageError(f"--service: {text!r} is not NAME=COUNT, or its name stands twice.")
        counts[name] = int(count)
    return counts


def _log(event: str, **fields: Any) -> None:
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
    print(msgspec.json.encode(line).decode(), file=sys.stderr, flush=True)
