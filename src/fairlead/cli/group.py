"""The command group: which commands there are, and the one place where system errors become messages."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

import fairlead

BAD_INPUT: Final = 2
"""Exit status for input or usage that cannot be acted on."""

_COMMANDS: Final = {
    "plan": "fairlead.cli.plan",
    "explain": "fairlead.cli.explain",
    "defrag": "fairlead.cli.defrag",
    "validate": "fairlead.cli.validate",
    "migrate": "fairlead.cli.migrate",
    "allocate": "fairlead.cli.allocate",
    "cluster": "fairlead.cli.cluster",
    "simulate": "fairlead.cli.simulate",
    "controller": "fairlead.cli.controller",
    "webhook": "fairlead.cli.webhook",
    "duplicates": "fairlead.cli.duplicates",
    "ungate": "fairlead.cli.ungate",
    "node": "fairlead.cli.node",
    "driver": "fairlead.cli.driver",
    "conformance": "fairlead.cli.conformance",
    "dpu-agent": "fairlead.cli.dpu_agent",
    "demo": "fairlead.cli.demo",
}
"""Each command's module; the command is the attribute of the same name, with _ for -."""


class CommandGroup(click.Group):
    """Imports commands when they are needed, and turns errors of the system into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which people meet them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        """Runs a command line."""
        try:
            result = super().main(args, *more, **options)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader has gone, for example `| head`: nothing is left to say, nor to flush at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise SystemExit(1) from None
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"Error: {where}{error.strerror or error}", err=True)
            raise SystemExit(BAD_INPUT) from None
        return result


@click.command(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(fairlead.__version__, prog_name="fairlead")
def main() -> None:
    """Guide Kubernetes workloads to the right devices.

    Fairlead plans workloads on a cluster whose devices are described with Dynamic Resource Allocation
    (resource.k8s.io): which devices on which node does each pod get, and where it gets none, why.

    \b
    Examples:
      fairlead demo
      fairlead plan -f cluster/ -f workload.yaml
      fairlead explain worker-3 -f cluster/ -f workload.yaml
      kubectl get resourceslices,deviceclasses,nodes -o json | fairlead plan -f - -f workload.yaml
    """
