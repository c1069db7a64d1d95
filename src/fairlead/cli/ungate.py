"""`fairlead ungate`: lets kube-scheduler have the pods that wait for Fairlead."""

from __future__ import annotations

import click

from fairlead.cli.group import BAD_INPUT
from fairlead.cli.reach import access_options


@click.command(short_help="Hand waiting pods over to kube-scheduler.")
@access_options
@click.option("-n", "--namespace", default="", metavar="NAME", help="Only the pods of this namespace. [default: all]")
@click.option("--dry-run", is_flag=True, help="Only say which pods it would be.")
def ungate(kubeconfig: str | None, context: str, namespace: str, dry_run: bool) -> None:
    """Open the scheduling gate fairlead.dev/allocation of every pod that has it, so that kube-scheduler takes over.

    For removing Fairlead from a cluster, or for when it is out of order: stop the controller and delete its policies
    first, or they go on. The pods' claims are allocated by kube-scheduler from then on, each pod alone.

    One line for each pod on stdout. Exit status: 0, 1 when the API server refused one, 2 when it cannot be asked.

    \b
    Examples:
      fairlead ungate --dry-run
      fairlead ungate --namespace ml
    """
    from fairlead.controller import Opened, open_gates
    from fairlead.kubernetes import AccessError, find_access

    told: list[Opened] = []

    def tell(opened: Opened) -> None:
        told.append(opened)
        if opened.problem:
            click.echo(f"{opened.pod}: not opened: {opened.problem}", err=True)
        else:
            click.echo(f"{opened.pod}: {'would be opened' if opened.dry_run else 'opened'}")

    try:
        open_gates(find_access(kubeconfig, context), tell, namespace, dry_run)
    except AccessError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(BAD_INPUT) from None
    if not told:
        click.echo("No pod waits for Fairlead.", err=True)
    raise SystemExit(1 if any(one.problem for one in told) else 0)
