"""Machines with one thing wrong: discovery never fails, tells what is wrong, and leaves what does not depend on it.

Of each machine some hundred changes of all that there are (`mutations`), the same in each run; which, MUTATIONS_SEED
says, and MUTATIONS how many.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from fairlead.driver import Driver
from fairlead.drivers.nvidia import make as make_nvidia
from fairlead.drivers.power import PowerDriver
from fairlead.drivers.spyre import SpyreDriver
from fairlead.hardware import Machine
from fairlead.resource import Device
from tests.drivers.mutations import NODE, Mutation, look, mutations, nonsense, others, recorded
from tests.drivers.nvidia import machines as nvidia
from tests.drivers.power import machines as power
from tests.drivers.spyre import machines as spyre

SEED = int(os.environ.get("MUTATIONS_SEED", "7"))
COUNT = int(os.environ.get("MUTATIONS", "80"))
CONTEXT = ("/sys/bus/pci/devices", "/sys/bus/pci", "/sys/bus", "/sys", "/dev", "/proc")


def gpus(options: str) -> Callable[[Machine], Driver]:
    return lambda machine: make_nvidia(options, NODE, machine)[0]


def channels(machine: Machine) -> Driver:
    return make_nvidia("channels=4", NODE, machine)[1]


def cards(machine: Machine) -> Driver:
    return SpyreDriver(machine, NODE)


MACHINES: dict[str, tuple[Callable[[Machine], Driver], Callable[[Path], Machine]]] = {
    "8 x H100": (gpus(""), nvidia.h100),
    "8 x H100, dynamic MIG": (gpus("mig=dynamic"), nvidia.h100),
    "A100 cut by hand": (gpus(""), lambda root: nvidia.a100(root, nvidia.half_balanced())),
    "A100 cut by hand, dynamic MIG": (gpus("mig=dynamic"), lambda root: nvidia.a100(root, nvidia.half_balanced())),
    "GB200 tray": (gpus(""), nvidia.gb200),
    "L40S, shares of memory": (gpus("shares=memory"), nvidia.l40s),
    "channels of a GB200 tray": (channels, nvidia.gb200),
    "Power10 partition": (PowerDriver, lambda root: power.partition(root, cores=2).machine),
    "PowerNV": (PowerDriver, lambda root: power.powernv(root).machine),
    "8 Spyre cards": (cards, lambda root: spyre.cards(root).machine),
    "8 Spyre cards with VFs": (cards, lambda root: spyre.with_virtual(root, 2).machine),
    "Spyre cards on Power": (cards, lambda root: spyre.on_power(root).machine),
}


def sample(all_: Iterable[Mutation]) -> list[Mutation]:
    found = list(all_)
    return random.Random(SEED).sample(found, min(COUNT, len(found)))


def steady(device: Device) -> object:
    """A device without its place among the others."""
    attributes = {name: one for name, one in device.attributes.items() if name != "index"}
    return attributes, device.capacity, device.consumes_counters


@pytest.mark.parametrize("name", MACHINES)
def test_what_is_wrong_is_told_and_the_other_devices_stay(tmp_path, name):
    make, machine = MACHINES[name]
    recording = recorded(make, machine(tmp_path))
    before, told_before = look(make, recording)
    assert before.devices
    for mutation in [*sample(mutations(recording)), *sample(nonsense(recording))]:
        failed = ""
        try:
            after, told = look(make, mutation.make(recording))
        except OSError as error:
            failed = str(error.filename)
        if failed:
            # The kit names the place, and keeps what was published: nothing can be said of any device.
            assert failed in CONTEXT, mutation
            continue
        now = {one.name: one for one in after.devices}
        if mutation.told and now != {one.name: one for one in before.devices}:
            assert set(told) - set(told_before), f"{mutation}: nobody is told"
        for device in others(before.devices, mutation.place).values():
            assert device.name in now, f"{mutation}: takes {device.name} away"
            assert steady(now[device.name]) == steady(device), f"{mutation}: changes {device.name}"
