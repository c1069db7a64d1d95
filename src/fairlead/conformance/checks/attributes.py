"""What devices say of themselves: by this users select, and other drivers' devices are matched."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fairlead.conformance.check import check, expect
from fairlead.conformance.lab import Lab
from fairlead.conformance.outcomes import Skip
from fairlead.resource import Device, DeviceAttribute

_PREFIX = "resource.kubernetes.io/"
_BUS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-1][0-9a-f]\.[0-7]")
_ROOT = re.compile(r"pci[0-9a-f]{4,8}:[0-9a-f]{2}")
_STANDARD = ("pcieRoot", "pciBusID", "numaNode")
_KEPS = "k8s.io/dynamic-resource-allocation deviceattribute; KEP-6072 for numaNode"


@check(
    "attributes-any",
    "Devices say something of themselves",
    expected="Devices have attributes or capacity.",
    source="practice: nothing else can be selected by",
    why="power-dra-driver builds attributes and capacity, and copies only the name into the device that it publishes: "
    "no selector can tell such devices apart.",
)
async def any_(lab: Lab) -> str:
    devices = list(_devices(lab))
    bare = [name for name, device in devices if not device.attributes and not device.capacity]
    expect(len(bare) < len(devices), f"none of {len(devices)} devices has an attribute or a capacity")
    return f"{len(devices) - len(bare)} of {len(devices)} devices have attributes or capacity"


@check(
    "attributes-standard",
    "Standard attributes have the standard form",
    expected="pciBusID is a text like 0000:3b:00.0, pcieRoot one like pci0000:3a, numaNode an integer; the last two "
    "may be lists.",
    source=_KEPS,
    why="A claim matches devices of two drivers by these values (matchAttribute). One that is written otherwise never "
    "matches, and the pod stays pending (dra-driver-spyre publishes NUMA as a text under a name of its own).",
)
async def standard(lab: Lab) -> str:
    found: dict[str, int] = {}
    for name, device in _devices(lab):
        for short in _STANDARD:
            value = device.attributes.get(_PREFIX + short)
            if value is not None:
                found[short] = found.get(short, 0) + 1
                expect(_is_standard(short, value), f"{name}: {_PREFIX}{short}: {_shown(value)}")
    if not found:
        raise Skip("no device has a standard attribute")
    return ", ".join(f"{name} of {count} devices" for name, count in found.items())


@check(
    "attributes-reserved",
    "No names are invented under resource.kubernetes.io",
    expected=f"Under {_PREFIX} there are only {', '.join(_STANDARD)}.",
    source=_KEPS,
    why="The domain belongs to Kubernetes: another meaning may come under the same name. dra-driver-memory publishes "
    "pageSize and hugeTLB there.",
)
async def reserved(lab: Lab) -> str:
    known = {_PREFIX + name for name in _STANDARD}
    invented = sorted(
        {
            name
            for _, device in _devices(lab)
            for name in (*device.attributes, *device.capacity)
            if name.startswith(_PREFIX) and name not in known
        }
    )
    expect(not invented, f"invented: {', '.join(invented)}")
    return "none"


@check(
    "attributes-taints",
    "Taints say who set them",
    expected="Keys of taints begin with a domain.",
    source="KEP-5055: keys are label names; practice of NVIDIA's and Intel's drivers",
    why="Tolerations name keys: one without a domain means something else for every driver.",
)
async def taints(lab: Lab) -> str:
    keys = {taint.key for _, device in _devices(lab) for taint in device.taints}
    if not keys:
        raise Skip("no device has a taint")
    bare = sorted(key for key in keys if "/" not in key)
    expect(not bare, f"without a domain: {', '.join(bare)}")
    return ", ".join(sorted(keys))


def _devices(lab: Lab) -> Iterator[tuple[str, Device]]:
    found = [(device.name, device) for one in lab.slices() for device in one.spec.devices]
    if not found:
        raise Skip("no devices are published")
    yield from found


def _is_standard(name: str, value: DeviceAttribute) -> bool:
    if name == "numaNode":
        numbers = value.ints if value.ints is not None else [] if value.int_ is None else [value.int_]
        return bool(numbers) and all(one >= 0 for one in numbers)
    texts = [] if value.string is None else [value.string]
    if name == "pcieRoot" and value.strings is not None:
        texts = value.strings
    form = _BUS if name == "pciBusID" else _ROOT
    return bool(texts) and all(form.fullmatch(one) for one in texts)


def _shown(value: DeviceAttribute) -> str:
    return ", ".join(
        f"{field.rstrip('_')} {getattr(value, field)!r}"
        for field in value.__struct_fields__
        if getattr(value, field) is not None
    )
