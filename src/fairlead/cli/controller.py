"""`fairlead controller`: gives pods that wait for it their devices, in a live cluster."""

from __future__ import annotations

import sys
from datetime import timedelta
from functools import partial
from typing import Literal

import click

from fairlead.cli.group import BAD_INPUT
from fairlead.cli.placing import policy_option, wiring_options
from fairlead.cli.reach import access_options
from fairlead.placement.wiring import DevicePolicy
from fairlead.topology import Rules


@click.command(short_help="Allocate devices in a live cluster.")
@access_options
@click.option("--once", is_flag=True, help="Stop as soon as nothing is under way; pods that have no place still wait.")
@click.option(
    "--leader-elect/--no-leader-elect",
    "elect",
    default=None,
    help="Whether several may run, of which one writes. Absent: in a pod yes, with a kubeconfig no; --once never does.",
)
@click.option(
    "--lease-namespace", default="fairlead-system", show_default=True, metavar="NAME", help="Where the Lease is."
)
@click.option(
    "--lease-name", default="fairlead-controller", show_default=True, metavar="NAME", help="The Lease that decides."
)
@click.option(
    "--bind-patience",
    type=click.FloatRange(min=1),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long kube-scheduler may fail to bind a pod before it is moved, evicted or told.",
)
@policy_option
@partial(wiring_options, more="")
@click.option("--listen", default="", metavar="HOST:PORT", help="Serve /metrics, /healthz and /readyz there.")
@click.option(
    "--log-format", type=click.Choice(["json", "text"]), default="json", show_default=True, help="How to write the log."
)
def controller(
    kubeconfig: str | None,
    context: str,
    once: bool,
    elect: bool | None,
    lease_namespace: str,
    lease_name: str,
    bind_patience: float,
    policy: str | None,
    devices: DevicePolicy | None,
    rules: Rules | None,
    listen: str,
    log_format: Literal["json", "text"],
) -> None:
    """Allocate the claims of pods that have the scheduling gate fairlead.dev/allocation, then open it.

    Pods that belong together (a PodGroup, or the label fairlead.dev/group with fairlead.dev/group-size) get their
    devices together or not at all. kube-scheduler binds them. A pod that has to wait gets an Event that says why, and
    what would help.

    Run several only with --leader-elect: one leads and writes, the others wait to take over. Let nobody else allocate
    the same devices. Everything it knows stands in the cluster, so it can be stopped and started at any time.

    The log is on stderr, one line for each event. Exit status: 0 when it was told to stop, 1 when the API
    server does not let it read what it needs, 2 when the configuration cannot be used.

    \b
    Examples:
      fairlead controller --kubeconfig ~/.kube/config
      fairlead controller --leader-elect --lease-namespace gpu-team
      fairlead controller --policy pack --devices compact --topology wiring.yaml
      fairlead controller --listen 127.0.0.1:8080 --log-format text
    """
    from fairlead.controller import LeaseName, Placing, run
    from fairlead.kubernetes import AccessError, find_access
    from fairlead.telemetry import ListenError

    try:
        access = find_access(kubeconfig, context)
    except AccessError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(BAD_INPUT) from None
    elects = not once and (access.inside if elect is None else elect)
    lease = LeaseName(lease_namespace, lease_name) if elects else None
    placing, patience = Placing(policy, devices, rules), timedelta(seconds=bind_patience)
    try:
        status = run(access, sys.stderr, once, lease, listen, log_format, patience, placing)
    except ListenError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(BAD_INPUT) from None
    raise SystemExit(status)
