"""The drivers of hardware pass every check that is about what they do, on each realistic machine.

A machine takes some 10 seconds, so one of each driver is tried; with CONFORMANCE=all, all are.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead.conformance import Options, Report, catalogue, run
from tests.drivers.power import machines as power
from tests.drivers.spyre import machines as spyre

COMMAND = "from fairlead.cli import main; main()"
ARGUMENTS = ("--node-name", "{node}", "--kubeconfig", "{kubeconfig}", "--pod-uid", "{pod_uid}")
FOLDERS = ("--plugins-dir", "{plugins}", "--registry-dir", "{registry}", "--cdi-dir", "{cdi}")
Json = dict[str, Any]


def conforms(driver: Callable[[Path], tuple[str, Path]], configs: tuple[Json, ...]) -> Report:
    """The report on a driver, which `driver` gives with the root of its machine, made in a folder."""
    with tempfile.TemporaryDirectory(prefix="fl", dir="/tmp") as root:
        text, tree = driver(Path(root))
        command = (sys.executable, "-c", COMMAND, "node", "--driver", text, "--root", str(tree), *ARGUMENTS, *FOLDERS)
        return asyncio.run(run(Options(Path(root), command, settle=0.5, configs=configs), catalogue()))


def nvidia(machine: str, options: str) -> Callable[[Path], tuple[str, Path]]:
    return lambda root: (f"tests.drivers.nvidia.lasting:make={machine}:{root / 'box'}:{options}", Path("/"))


def of_power(machine: Callable[[Path], Any]) -> Callable[[Path], tuple[str, Path]]:
    return lambda root: ("power", machine(root / "m").root)


def of_spyre(machine: Callable[[Path], Any]) -> Callable[[Path], tuple[str, Path]]:
    return lambda root: (f"spyre=state={root / 's'},templates={root / 't'}", machine(root / "m").root)


def sharing(kind: str, *intervals: str) -> tuple[Json, ...]:
    """Time slices, those of the class first."""
    head = {"apiVersion": "resource.nvidia.com/v1beta1", "kind": kind}
    slicing = [{"strategy": "TimeSlicing", "timeSlicingConfig": {"interval": one}} for one in intervals]
    return tuple(head | {"sharing": one} for one in slicing)


SLICES = sharing("GpuConfig", "Short", "Long")
MPS = tuple(
    {
        "apiVersion": "resource.nvidia.com/v1beta1",
        "kind": "MigDeviceConfig",
        "sharing": {"strategy": "MPS", "mpsConfig": {"defaultActiveThreadPercentage": percentage}},
    }
    for percentage in (50, 25)
)
NX = (
    {
        "apiVersion": "device.power.ibm.com/v1alpha1",
        "kind": "NxConfig",
        "sharing": {"strategy": "TimeSlicing", "timeSlicingConfig": {"interval": "Default"}},
    },
)
SENLIB = ({"apiVersion": "spyre.resource.ibm.com/v1alpha1", "kind": "SpyreClaimParameters", "config": {}},)
CASES = {
    "8 x H100": (nvidia("h100", ""), SLICES),
    "8 x H100, dynamic MIG": (nvidia("h100", "mig=dynamic"), ()),
    "8 x H100, shares": (nvidia("h100", "shares=4"), ()),
    "A100, dynamic MIG, MPS": (nvidia("half_on", "mig=dynamic"), MPS),
    "A100 cut by hand": (nvidia("cut_a100", ""), ()),
    "GB200 tray": (nvidia("gb200", ""), SLICES),
    "L40S": (nvidia("l40s", "shares=memory"), ()),
    "Power10 partition": (of_power(lambda root: power.partition(root, cores=2)), NX),
    "PowerNV": (of_power(power.powernv), NX),
    "8 Spyre cards": (of_spyre(spyre.cards), SENLIB),
    "8 Spyre cards with 8 VFs": (of_spyre(spyre.with_virtual), SENLIB),
    "Spyre cards on Power": (of_spyre(spyre.on_power), SENLIB),
}


USUAL = ("8 x H100, dynamic MIG", "Power10 partition", "8 Spyre cards with 8 VFs")


@pytest.mark.parametrize("name", CASES if os.environ.get("CONFORMANCE") == "all" else USUAL)
def test_a_driver_of_hardware_conforms(name):
    pytest.importorskip("grpc")
    report = conforms(*CASES[name])
    assert report.devices
    assert report.count("pass") > 40
    assert [f"{one.check.id}: {one.seen}" for one in report.results if one.verdict == "fail"] == []
    skipped = [one.check.id for one in report.results if one.verdict == "skip"]
    print(f"{name}: {report.count('pass')} passed, {len(skipped)} skipped: {' '.join(skipped)}")
