"""Options about where pods go: policies for nodes and devices, gangs, and what is known of wiring."""

from __future__ import annotations

from pathlib import Path

import click

from fairlead.cli.options import Command
from fairlead.placement.packing import NODE_POLICIES
from fairlead.placement.wiring import DEVICE_POLICIES, DevicePolicy
from fairlead.topology import Rules, RulesError, default_rules, read_rules


def parse_rules(ctx: click.Context, param: click.Parameter, value: str | None) -> Rules | None:
    """The path of a file with wiring rules, which come before those that are shipped; none where nothing is said."""
    if value is None:
        return None
    try:
        return read_rules(Path(value).read_text(encoding="utf-8"), value, default_rules())
    except RulesError as error:
        raise BadRulesError(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadRulesError(f"{value}: {error}") from None


class BadRulesError(click.ClickException):
    """Wiring rules that cannot be used; exit status 2."""

    exit_code = 2


def parse_devices(ctx: click.Context, param: click.Parameter, value: str | None) -> DevicePolicy | None:
    """The device policy of a name."""
    return DEVICE_POLICIES[value] if value is not None else None


def wiring_options(command: Command, more: str = " Also shows what they are worth.") -> Command:
    """`--devices` and `--topology`: which devices of a node are better, and what is known of its wiring.

    Args:
        command: gets the options.
        more: what else the help of `--devices` says.
    """
    command = click.option(
        "--topology",
        "rules",
        callback=parse_rules,
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        help="What attributes of devices say about wiring and what links carry, beside what is shipped.",
    )(command)
    return click.option(
        "--devices",
        callback=parse_devices,
        type=click.Choice(list(DEVICE_POLICIES)),
        help="Which devices of a node a pod gets, where it does not say so in an annotation: the first, as Kubernetes "
        f"gives them; those that talk fastest; or those that are farthest apart.{more} [default: first-fit]",
    )(command)


def placement_options(command: Command) -> Command:
    """`--policy` and `--gangs`: which of the nodes that fit takes a pod, and whether gangs are placed whole."""
    command = click.option(
        "--gangs/--no-gangs",
        default=True,
        help="Whether the pods of a gang are placed whole or not at all, or one by one. [default: whole]",
    )(command)
    return policy_option(command, " Also shows what the choice scored.")


def policy_option(command: Command, more: str = "") -> Command:
    """`--policy`: which of the nodes that fit takes a pod; `more` is what else its help says."""
    return click.option(
        "--policy",
        type=click.Choice(NODE_POLICIES),
        help="Which of the nodes that fit takes a pod that stands alone; docs/policies.md says what each optimises."
        f"{more} [default: first-fit]",
    )(command)
