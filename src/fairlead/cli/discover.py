"""`fairlead node discover` and `fairlead node record`: what drivers find on a machine, without a cluster."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import click
from msgspec.structs import replace

from fairlead.cli.group import BAD_INPUT

if TYPE_CHECKING:
    from fairlead.driver import Driver, Pool
    from fairlead.hardware import Machine
    from fairlead.resource import ResourceSlice

_Command = TypeVar("_Command", bound=Callable[..., Any])


def driver_option(command: _Command) -> _Command:
    """`--driver`, given to the command as `drivers`."""
    return click.option(
        "--driver",
        "drivers",
        multiple=True,
        metavar="NAME[=ARGUMENT]",
        help="A driver, may be repeated: nvidia, network, bluefield, power, spyre (docs/drivers has their arguments), "
        "simulated=FILE[,node=NAME][,faults=FILE][,recover=SECONDS], or your own, as package.module:Class.",
    )(command)


def node_name_option(command: _Command) -> _Command:
    """`--node-name`."""
    return click.option(
        "--node-name",
        envvar="NODE_NAME",
        default=lambda: socket.gethostname().lower(),
        metavar="NAME",
        help="The node's name. Absent: NODE_NAME, then the host's name.",
    )(command)


def machine_options(command: _Command) -> _Command:
    """`--root` and `--recording`: which machine is looked at."""
    command = click.option(
        "--recording",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Find the hardware in this recording (fairlead node record) instead of on this machine.",
    )(command)
    return click.option(
        "--root",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        default="/",
        metavar="DIR",
        help="Where the machine's / is mounted, whose /sys, /proc and /dev are read. Absent: /.",
    )(command)


def machine_of(root: Path, recording: Path | None) -> Machine:
    """The machine that `machine_options` stand for.

    Raises:
        OSError: the recording cannot be read.
        RecordingError: it is none.
    """
    from fairlead.hardware import LiveMachine, RecordedMachine, read_recording

    return LiveMachine(root) if recording is None else RecordedMachine(read_recording(recording))


@click.command(short_help="Show what would be published.")
@driver_option
@node_name_option
@machine_options
@click.option("-o", "--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.pass_context
def discover(
    context: click.Context,
    drivers: Sequence[str],
    node_name: str,
    root: Path,
    recording: Path | None,
    form: Literal["yaml", "json"],
) -> None:
    """Show the ResourceSlices that drivers would publish for this machine; nothing is changed anywhere.

    Without --driver all drivers look that find their hardware by themselves, and for a recording those that looked when
    it was made, on the node that it is of. What could not be read is told on stderr.
    Exit status: 0; 1 when something could not be read; 2 when a driver or a file cannot be used.

    \b
    Examples:
      fairlead node discover
      fairlead node discover --driver network -o json
      fairlead node discover --recording worker-1.yaml | fairlead plan -f - -f claims.yaml
    """
    from fairlead.hardware import RecordingError
    from fairlead.resource import Objects
    from fairlead.simulation import render

    try:
        asked = _asked(context, drivers, node_name, root, recording)
        node_name = asked.node
        found, problems = _look(asked.drivers, node_name, asked.machine)
    except RecordingError as error:
        raise _refused(error) from None
    click.echo(render(Objects(slices=found), form, f"Found by fairlead node discover on {node_name}."), nl=False)
    for problem in problems:
        click.echo(f"Warning: {problem}", err=True)
    if not found:
        click.echo("no devices were found", err=True)
    raise SystemExit(1 if problems else 0)


@click.command(short_help="Keep what discovery reads, for other machines.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@driver_option
@node_name_option
@machine_options
@click.pass_context
def record(
    context: click.Context, file: Path, drivers: Sequence[str], node_name: str, root: Path, recording: Path | None
) -> None:
    """Keep all that discovery reads of this machine in FILE: YAML, or JSON where the name ends in .json.

    Any driver can then be run from FILE, on any machine, with --recording. The file has serial numbers and addresses of
    the hardware in clear text. Exit status: 0; 2 when a driver or a file cannot be used.

    \b
    Examples:
      fairlead node record worker-1.yaml
      fairlead node record worker-1.json --driver network
    """
    from fairlead.hardware import Recording, RecordingError, RecordingMachine, write_recording

    taken = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        asked = _asked(context, drivers, node_name, root, recording)
        kept = Recording(machine=asked.node, taken=taken, drivers=list(asked.drivers))
        found, problems = _look(asked.drivers, asked.node, RecordingMachine(asked.machine, kept))
    except RecordingError as error:
        raise _refused(error) from None
    write_recording(kept, file)
    for problem in problems:
        click.echo(f"Warning: {problem}", err=True)
    devices = sum(len(one.spec.devices) for one in found)
    answers = sum(map(len, kept.doors.values()))
    click.echo(f"{file}: {devices} devices; {len(kept.files)} files and folders, {answers} answers of libraries")


class _Asked(NamedTuple):
    """What is looked for, and where."""

    drivers: Sequence[str]
    node: str
    machine: Machine


def _asked(
    context: click.Context, drivers: Sequence[str], node_name: str, root: Path, recording: Path | None
) -> _Asked:
    """What the user chose, else what the recording says of itself: some drivers read files by the node's name."""
    from fairlead.drivers import HARDWARE
    from fairlead.hardware import RecordedMachine, read_recording

    if recording is None:
        return _Asked(drivers or HARDWARE, node_name, machine_of(root, None))
    kept = read_recording(recording)
    chosen = context.get_parameter_source("node_name") is not click.core.ParameterSource.DEFAULT
    node = node_name if chosen or not kept.machine else kept.machine
    return _Asked(drivers or kept.drivers or HARDWARE, node, RecordedMachine(kept))


def _look(drivers: Sequence[str], node_name: str, machine: Machine) -> tuple[list[ResourceSlice], list[str]]:
    """What the drivers would publish, and what they could not read."""
    from fairlead.drivers import DriverArgumentError, make

    found: list[ResourceSlice] = []
    problems: list[str] = []
    try:
        made = [driver for text in drivers for driver in make(text, node_name, machine)]
    except DriverArgumentError as error:
        raise _refused(error) from None
    pools = {driver.name: _pools(driver, problems) for driver in made}
    for driver in made:
        first = {name: pools[name] for name in driver.gives_way_to if name in pools}
        slices, more = _slices(driver, node_name, pools[driver.name], first)
        found += slices
        problems += more
    return found, problems


def _pools(driver: Driver, problems: list[str]) -> list[Pool]:
    """What a driver finds; nothing, and a line, where it cannot look."""
    from fairlead.driver import Pool
    from fairlead.hardware import HardwareError

    try:
        found = driver.discover()
        return [found] if isinstance(found, Pool) else list(found)
    except (HardwareError, OSError) as error:
        problems.append(f"{driver.name}: {error}")
        return []


def _slices(
    driver: Driver, node_name: str, found: Sequence[Pool], first: Mapping[str, Sequence[Pool]]
) -> tuple[list[ResourceSlice], list[str]]:
    """The slices of what a driver found and leaves to none of the drivers that go before it."""
    from fairlead.driver.coexistence import hardware_of, withhold_taken
    from fairlead.driver.inventory import DiscoveryError, make_inventory
    from fairlead.driver.sifting import sift
    from fairlead.driver.slices import Publication, plan
    from fairlead.resource import ObjectMeta

    taken = {
        identity: name
        for name, theirs in first.items()
        for pool in theirs
        for device in pool.devices
        for identity in hardware_of(device)
    }
    of = Publication(driver.name, node_name, "", False)
    try:
        pools, refused = sift(of, make_inventory(withhold_taken(found, taken), node_name).pools)
    except DiscoveryError as error:
        return [], [f"{driver.name}: {error}"]
    problems = [f"{driver.name}: {problem}" for pool in pools for problem in pool.problems]
    problems += [f"{driver.name}: {problem}" for problem in refused]
    pools = [pool for pool in pools if pool.devices or pool.counters]
    # The node is not asked for, so nothing can say that the slices belong to it.
    return [replace(one.item, metadata=ObjectMeta(name=one.item.name)) for one in plan(of, pools, [], {})], problems


def _refused(error: Exception) -> SystemExit:
    click.echo(f"Error: {error}", err=True)
    return SystemExit(BAD_INPUT)
