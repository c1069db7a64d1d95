"""`fairlead webhook`: refuses writes that take a device which somebody holds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from fairlead.cli.group import BAD_INPUT
from fairlead.cli.reach import access_options


@click.command(short_help="Refuse writes that take a device which is held (the lock).")
@access_options
@click.option(
    "--listen",
    default="0.0.0.0:9443",
    show_default=True,
    metavar="HOST:PORT",
    help="Where reviews (/review) and probes (/healthz, /readyz, /answers) are served, by HTTPS.",
)
@click.option("--metrics", default="", metavar="HOST:PORT", help="Serve /metrics there, by HTTP. [default: nowhere]")
@click.option("--cert", "certificate", type=click.Path(path_type=Path), required=True, metavar="PATH", help="PEM file.")
@click.option("--key", type=click.Path(path_type=Path), required=True, metavar="PATH", help="PEM file of its key.")
@click.option(
    "--lease-namespace", default="fairlead-system", show_default=True, metavar="NAME", help="Where the Lease is."
)
@click.option(
    "--lease-name",
    default="fairlead-webhook",
    show_default=True,
    metavar="NAME",
    help="The Lease that decides which of several replicas answers.",
)
@click.option(
    "--pod",
    envvar="FAIRLEAD_POD",
    metavar="NAMESPACE/NAME",
    help="Our own pod, which gets the label fairlead.dev/lock=answers while it answers. [env: FAIRLEAD_POD]",
)
@click.option(
    "--write-window",
    "window",
    type=click.FloatRange(min=1),
    default=75.0,
    show_default=True,
    metavar="SECONDS",
    help="More than the API server's --request-timeout. Only used for claims that a policy forbids us to write.",
)
@click.option(
    "--log-format", type=click.Choice(["json", "text"]), default="json", show_default=True, help="How to write the log."
)
def webhook(
    kubeconfig: str | None,
    context: str,
    listen: str,
    metrics: str,
    certificate: Path,
    key: Path,
    lease_namespace: str,
    lease_name: str,
    pod: str | None,
    window: float,
    log_format: Literal["json", "text"],
) -> None:
    """Answer the API server's question whether a ResourceClaim may get these devices: not if somebody holds them.

    Registered as a validating webhook on resourceclaims/status it makes kube-scheduler, Fairlead and everybody else
    safe from each other. Run two or more: one answers, the others stand by. docs/lock.md has the manifests and says
    what happens while none answers.

    Certificate and key are read again when the files change. The log is on stderr, one line for each event. Exit
    status: 0 when it was told to stop, 1 when the API server does not let it read what it needs, 2 when the
    configuration cannot be used.

    \b
    Examples:
      fairlead webhook --cert tls.crt --key tls.key --kubeconfig ~/.kube/config --listen 127.0.0.1:9443
      fairlead webhook --cert tls.crt --key tls.key --metrics 127.0.0.1:8080 --log-format text
      fairlead webhook --cert /certs/tls.crt --key /certs/tls.key --pod "$POD_NAMESPACE/$POD_NAME"
    """
    from fairlead.controller.lock import CertificateError, Options, serve
    from fairlead.kubernetes import AccessError, find_access
    from fairlead.telemetry import ListenError

    pod_namespace, _, pod_name = (pod or "").partition("/")
    if pod and not (pod_namespace and pod_name):
        raise click.BadParameter(f"{pod!r}: must be NAMESPACE/NAME", param_hint="--pod")
    options = Options(
        listen=listen,
        certificate=certificate,
        key=key,
        lease_namespace=lease_namespace,
        lease_name=lease_name,
        pod_namespace=pod_namespace,
        pod_name=pod_name,
        metrics=metrics,
        log_format=log_format,
        window=window,
    )
    try:
        raise SystemExit(serve(find_access(kubeconfig, context), options, sys.stderr))
    except (AccessError, CertificateError, ListenError) as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(BAD_INPUT) from None
