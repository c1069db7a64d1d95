"""The options with which commands reach a live cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def kubeconfig_option(command: _Command) -> _Command:
    """Adds `--kubeconfig`."""
    return click.option(
        "--kubeconfig",
        type=click.Path(),
        metavar="PATH",
        help="How to reach the API server. Absent: KUBECONFIG, ~/.kube/config, or the ServiceAccount of the pod.",
    )(command)


def access_options(command: _Command) -> _Command:
    """Adds `--kubeconfig` and `--context`."""
    command = click.option(
        "--context", default="", metavar="NAME", help="The context of the kubeconfig. Absent: the current one."
    )(command)
    return kubeconfig_option(command)
