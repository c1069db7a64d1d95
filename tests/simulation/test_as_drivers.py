"""Simulated hardware is published as our drivers publish the real: a claim written against one works against the other.

Compared are, by the devices' type: names with their numbers left out, attributes with their types, capacities and
whether they are shared, counters. What a driver says besides is listed, so that neither side changes unseen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from fairlead.driver import Driver, Pool
from fairlead.drivers.bluefield import BlueFieldDriver
from fairlead.drivers.power import make as make_power
from fairlead.resource import Device
from fairlead.simulation import build, parse_line
from tests.drivers.bluefield.machines import Host
from tests.drivers.bluefield.test_discovery import REPORT, WITH_AGENT, Told
from tests.drivers.network import machines as network
from tests.drivers.nvidia import machines as nvidia
from tests.drivers.power.machines import partition
from tests.hardware.tree import Tree

STANDARD = "resource.kubernetes.io/"


@dataclass
class Shape:
    """What devices of one type say."""

    names: set[str] = field(default_factory=set)
    attributes: set[tuple[str, str]] = field(default_factory=set)
    capacities: set[tuple[str, bool]] = field(default_factory=set)
    """Name, and whether a claim says how much of it."""
    counters: set[str] = field(default_factory=set)


def shapes(devices: Iterable[Device]) -> dict[str, Shape]:
    """By the attribute `type`; empty where there is none."""
    found: dict[str, Shape] = {}
    for device in devices:
        kind = device.attributes.get("type")
        one = found.setdefault((kind.string or "") if kind is not None else "", Shape())
        # Hexadecimal digits between dashes are addresses.
        one.names.add(re.sub(r"(?<=-)[0-9a-f]+(?=-|$)|\d+", "N", device.name))
        for name, value in device.attributes.items():
            held = next(x for x in ("string", "int_", "bool_", "version") if getattr(value, x) is not None)
            one.attributes.add((name, held))
        one.capacities |= {(name, amount.request_policy is not None) for name, amount in device.capacity.items()}
        one.counters |= {name for taken in device.consumes_counters for name in taken.counters}
    return found


def published(driver: Driver) -> list[Device]:
    found = driver.discover()
    return [device for pool in ([found] if isinstance(found, Pool) else found) for device in pool.devices]


def gpu(make: Callable[[Path], nvidia.Box], options: str = "") -> Callable[[Path], Driver]:
    return lambda folder: make(folder).driver(f"{options}channels=0")


def dpu(folder: Path) -> Driver:
    report = replace(REPORT, services={"nvmeSnap": 8, "virtioNet": 16})
    return BlueFieldDriver(Host(Tree(folder)).machine(Told(report)), WITH_AGENT)


NVLINK = {"gpuModuleId", "index", "nvlinks"}
"""NVIDIA's driver says none of these, and the profiles have what was recorded of it."""
RECORDED = {
    "dra.net/alias",
    "dra.net/ebpf",
    "dra.net/encapsulation",
    "dra.net/isSriovVf",
    "dra.net/pciSubsystem",
    "dra.net/rdmaDevice",
    f"{STANDARD}pciBusID",
}
"""The same of DRANET; our driver names more."""


@pytest.mark.parametrize(
    ("line", "name", "driver", "besides"),
    [
        pytest.param("h100:nodes=1", "gpu.nvidia.com", gpu(nvidia.h100), {"gpu": NVLINK}, id="h100"),
        pytest.param("mig:nodes=1", "gpu.nvidia.com", gpu(nvidia.h100, "mig=dynamic,"), {"gpu": NVLINK}, id="mig"),
        pytest.param(
            "gb200:racks=1,trays=1",
            "gpu.nvidia.com",
            gpu(nvidia.gb200),
            {"gpu": NVLINK | {"cliqueID", "clusterUUID", "nvlinkDomain", f"{STANDARD}numaNode"}},
            id="gb200",
        ),
        pytest.param(
            "h100:nodes=1",
            "dra.net",
            lambda folder: network.connectx7(folder, 0).driver(),
            {"": RECORDED},
            id="network",
        ),
        pytest.param(
            "power:nodes=1",
            "nx.device.power.ibm.com",
            lambda folder: make_power("", "n", partition(folder).machine)[0],
            {},
            id="power",
        ),
        pytest.param("h100:nodes=1;bluefield", "dpu.fairlead.dev", dpu, {}, id="bluefield"),
        pytest.param("power:nodes=1;bluefield", "dpu.fairlead.dev", dpu, {}, id="bluefield-power"),
    ],
)
def test_a_profile_publishes_what_the_driver_does(
    tmp_path: Path, line: str, name: str, driver: Callable[[Path], Driver], besides: dict[str, set[str]]
) -> None:
    made = build(parse_line(line))
    ours = shapes(device for one in made.slices if one.spec.driver == name for device in one.spec.devices)
    real = shapes(published(driver(tmp_path)))
    assert ours.keys() == real.keys()
    for kind, one in ours.items():
        other = real[kind]
        assert one.names <= other.names, kind
        assert one.attributes - other.attributes == set(), kind
        assert {attribute for attribute, _ in other.attributes - one.attributes} == besides.get(kind, set()), kind
        extra = {("bandwidth", False)} if name == "dra.net" else set()  # of links whose speed is known
        assert one.capacities == other.capacities - extra, kind
        assert one.counters == other.counters, kind
