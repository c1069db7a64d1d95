"""From GPUs to devices: names, attributes, capacities and counters as NVIDIA's own driver has them.

Names hold the minor number of the device file, as NVIDIA's do: claims that its driver's slices were allocated for keep
their devices when this driver takes over. What that driver does not publish and this one does: `index`, which older
claims select by, and the NVLink fabric.

With dynamic MIG (KEP-4815) every place of every profile is a device, and so is the whole GPU; a counter set a GPU holds
what they share. An instance that somebody else made is taken off the set, so what it covers cannot be allocated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from msgspec.structs import replace

from fairlead.driver import Pool
from fairlead.drivers.nvidia.discovery import Card, Found
from fairlead.drivers.nvidia.host import Note
from fairlead.drivers.nvidia.nvml import Instance, Profile, System
from fairlead.drivers.nvidia.options import Options, Shares
from fairlead.hardware import Problems, attribute, standard_attributes
from fairlead.resource import (
    CapacityRequestPolicy,
    CapacityRequestPolicyRange,
    Counter,
    CounterSet,
    Device,
    DeviceAttribute,
    DeviceCapacity,
    DeviceCounterConsumption,
    Quantity,
)

_MIB: Final = 1 << 20
Kind = Literal["gpu", "instance", "place"]
"""A whole GPU, an instance that is there, a place where one can be made."""


@dataclass(frozen=True, slots=True)
class Target:
    """The hardware behind a device."""

    kind: Kind
    card: Card
    profile: Profile | None = None
    start: int = 0
    instance: Instance | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What is published, and what stands behind it."""

    pool: Pool
    targets: Mapping[str, Target]


def offer(found: Found, options: Options, problems: Problems) -> Offer:
    """The pool of a machine.

    Args:
        found: on the machine.
        options: of the driver.
        problems: gets a line for what is left out; becomes the pool's.
    """
    devices: list[Device] = []
    counters: list[CounterSet] = []
    parts: dict[str, str] = {}
    targets: dict[str, Target] = {}
    for card in found.cards:
        partitioned = options.mig == "dynamic" and bool(card.profiles)
        made = list(_places(card) if partitioned else _existing(card, problems))
        for target in made:
            name = name_of(target)
            targets[name] = target
            device = _device(target, found.system, partitioned)
            devices.append(_shared(device, options.shares))
        whole = f"gpu-{card.gpu.minor}"
        if partitioned:
            counters.append(_counter_set(card, found.notes, problems))
            if whole in targets:
                parts |= {name_of(one): whole for one in made if one.kind != "gpu"}
    return Offer(Pool(devices, counters, parts=parts, problems=problems), targets)


def name_of(target: Target) -> str:
    """The device's name: `gpu-0`, `gpu-0-mig-1g10gb-19-6`."""
    whole = f"gpu-{target.card.gpu.minor}"
    if target.profile is None:
        return whole
    profile = re.sub("[^a-z0-9]", "-", target.profile.name.lower().replace(".", ""))
    return f"{whole}-mig-{profile}-{target.profile.number}-{target.start}"


def version(text: str) -> DeviceAttribute:
    """A version as the API wants it, three numbers without leading zeros: `535.129.03` is `535.129.3`."""
    numbers = [int(one) for one in re.findall(r"\d+", text)[:3]]
    return DeviceAttribute(version=".".join(map(str, [*numbers, 0, 0, 0][:3])))


def _existing(card: Card, problems: Problems) -> Iterator[Target]:
    """The whole GPU, or the instances that it was cut into."""
    if not card.gpu.mig:
        yield Target("gpu", card)
        return
    profiles = {one.number: one for one in card.profiles}
    for one in card.instances:
        profile = profiles.get(one.profile)
        if profile is None or one.compute is None:
            problems.append(
                f"{card.address}: GPU instance {one.number} is not published: "
                + ("its profile is unknown" if profile is None else _why_not(one))
            )
        else:
            yield Target("instance", card, profile, one.start, one)
    if not card.instances:
        problems.append(f"{card.address}: MIG mode is on and there are no GPU instances: nothing of it is published")


def _why_not(instance: Instance) -> str:
    if instance.computes == 0:
        return "it has no compute instance"
    return "it has several compute instances, or one that does not take all of it"


def _places(card: Card) -> Iterator[Target]:
    """The whole GPU, then every place, those first that leave most room for others."""
    if not (card.gpu.mig and card.resets):
        yield Target("gpu", card)
    if not card.gpu.mig and card.resets:
        return
    spans = [(start, start + profile.size) for profile in card.profiles for start in profile.starts]

    def blocks(start: int, size: int) -> int:
        return sum(start < end and begin < start + size for begin, end in spans)

    for profile in sorted(card.profiles, key=lambda one: (one.size, one.slices, one.number)):
        for start in sorted(profile.starts, key=lambda one: (blocks(one, profile.size), one)):
            yield Target("place", card, profile, start)


def _device(target: Target, system: System | None, partitioned: bool) -> Device:
    card = target.card
    attributes = _attributes(target, system)
    if target.profile is None:
        capacity = {} if card.gpu.memory is None else {"memory": _bytes(card.gpu.memory)}
        if partitioned:
            capacity = {**_most(card.profiles), **capacity}
        consumed = _all_of(card)
    else:
        capacity = _capacity(target.profile)
        consumed = _of(target.profile, target.start)
    if target.instance is not None:
        slices = range(target.start, target.start + target.instance.size)
        capacity |= {f"memorySlice{one}": DeviceCapacity(Quantity.from_int(1)) for one in slices}
    counters = [DeviceCounterConsumption(_set_name(card), consumed)] if partitioned else []
    return Device(name=name_of(target), attributes=attributes, capacity=capacity, consumes_counters=counters)


def _attributes(target: Target, system: System | None) -> dict[str, DeviceAttribute]:
    gpu = target.card.gpu
    texts = {"productName": gpu.name, "brand": gpu.brand, "architecture": gpu.architecture}
    if gpu.addressing:
        texts["addressingMode"] = gpu.addressing
    if target.profile is None:
        texts |= {"type": "gpu", "uuid": gpu.uuid}
    else:
        texts |= {"type": "mig", "parentUUID": gpu.uuid, "profile": target.profile.name}
        if target.instance is not None:
            texts["uuid"] = target.instance.uuid
    found = {name: attribute(text) for name, text in texts.items()}
    found["cudaComputeCapability"] = version(gpu.capability)
    if system is not None:
        found |= {"driverVersion": version(system.driver), "cudaDriverVersion": version(system.cuda)}
    if target.profile is None:
        found["index"] = attribute(gpu.minor)
        found |= _fabric(target.card)
    return found | standard_attributes(target.card.function)


def _fabric(card: Card) -> dict[str, DeviceAttribute]:
    """The NVLink domain in the words of the node label nvidia.com/gpu.clique: UUID of the fabric, dot, clique."""
    found: dict[str, DeviceAttribute] = {}
    gpu = card.gpu
    if gpu.nvlinks:
        found["nvlinks"] = attribute(gpu.nvlinks)
    if gpu.module is not None:
        found["gpuModuleId"] = attribute(gpu.module)
    if gpu.fabric is not None and gpu.fabric.cluster and gpu.fabric.state == "completed":
        found["clusterUUID"] = attribute(gpu.fabric.cluster)
        found["cliqueID"] = attribute(gpu.fabric.clique)
        found["nvlinkDomain"] = attribute(f"{gpu.fabric.cluster}.{gpu.fabric.clique}")
    return found


def _amounts(profile: Profile) -> dict[str, int]:
    return {
        "multiprocessors": profile.multiprocessors,
        "copyEngines": profile.copy_engines,
        "decoders": profile.decoders,
        "encoders": profile.encoders,
        "jpegEngines": profile.jpeg_engines,
        "ofaEngines": profile.ofa_engines,
        "memory": profile.memory * _MIB,
    }


def _greatest(profiles: Sequence[Profile]) -> dict[str, int]:
    """The most of everything that any instance has: what the GPU can give to instances."""
    amounts = [_amounts(one) for one in profiles]
    return {name: max(one[name] for one in amounts) for name in amounts[0]}


def _quantity(name: str, amount: int) -> Quantity:
    return Quantity.from_int(amount, "BinarySI" if name == "memory" else "DecimalSI")


def _capacity(profile: Profile) -> dict[str, DeviceCapacity]:
    return {name: DeviceCapacity(_quantity(name, amount)) for name, amount in _amounts(profile).items()}


def _most(profiles: Sequence[Profile]) -> dict[str, DeviceCapacity]:
    return {name: DeviceCapacity(_quantity(name, amount)) for name, amount in _greatest(profiles).items()}


def _bytes(amount: int) -> DeviceCapacity:
    return DeviceCapacity(Quantity.from_int(amount, "BinarySI"))


def _set_name(card: Card) -> str:
    return f"gpu-{card.gpu.minor}-counter-set"


def _counters(amounts: Mapping[str, int], slices: range) -> dict[str, Counter]:
    named = {re.sub("([A-Z])", r"-\1", name).lower(): (name, amount) for name, amount in amounts.items()}
    found = {counter: Counter(_quantity(name, amount)) for counter, (name, amount) in named.items()}
    return found | {f"memory-slice-{one}": Counter(Quantity.from_int(1)) for one in slices}


def _of(profile: Profile, start: int) -> dict[str, Counter]:
    return _counters(_amounts(profile), range(start, start + profile.size))


def _all_of(card: Card) -> dict[str, Counter]:
    return {} if not card.profiles else _counters(_greatest(card.profiles), range(_slices(card)))


def _slices(card: Card) -> int:
    return max(start + profile.size for profile in card.profiles for start in profile.starts)


def _counter_set(card: Card, notes: Mapping[str, Note] | None, problems: Problems) -> CounterSet:
    counters = _all_of(card)
    ours = {(made.address, made.profile, made.start) for note in (notes or {}).values() for made in note.made}
    profiles = {one.number: one for one in card.profiles}
    for one in card.instances:
        if (card.address, one.profile, one.start) in ours:
            continue
        profile = profiles.get(one.profile)
        name = "of an unknown profile" if profile is None else profile.name
        problems.append(
            f"{card.address}: GPU instance {one.number} ({name} at slice {one.start}) was not made by this driver: it "
            "is left alone, and what it covers is not offered"
        )
        taken = _counters({}, range(one.start, one.start + one.size)) if profile is None else _of(profile, one.start)
        for counter, amount in taken.items():
            if counter not in counters:
                continue  # NVML says that it lies beyond the GPU's memory
            left = max(counters[counter].value.value() - amount.value.value(), 0)
            counters[counter] = Counter(_quantity(counter, left))
    return CounterSet(name=_set_name(card), counters=counters)


def _shared(device: Device, shares: Shares) -> Device:
    """With several claims on a device; memory is what they ask for in steps of a MiB."""
    if shares == "disabled" or "memory" not in device.capacity:
        return device
    memory = Quantity.from_int(device.capacity["memory"].value.value() // _MIB * _MIB, "BinarySI")
    nothing, step, one = Quantity.from_int(0), Quantity.from_int(_MIB, "BinarySI"), Quantity.from_int(1)
    least, usual = (step, memory) if shares == "memory" else (nothing, nothing)
    policy = CapacityRequestPolicy(usual, valid_range=CapacityRequestPolicyRange(least, memory, step))
    capacity = {**device.capacity, "memory": DeviceCapacity(memory, policy)}
    if isinstance(shares, int):
        total = Quantity.from_int(shares)
        policy = CapacityRequestPolicy(one, valid_range=CapacityRequestPolicyRange(one, total, one))
        capacity["shares"] = DeviceCapacity(total, policy)
    return replace(device, capacity=capacity, allow_multiple_allocations=True)
