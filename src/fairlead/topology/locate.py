"""Devices to locations: first what drivers publish, then what a platform is known to have, then what follows from both.

Published facts are never replaced. What follows, by name of its rule:

* `numa-of-root`: devices of one PCIe root are on one NUMA node, that which some of them publish;
* `fabric-of-node`: an NVLink domain published by any device of the node is that of its GPUs whose model has a fabric
  that spans nodes;
* `model NAME`: GPUs of one model with a fabric are joined by it in their node;
* `port-of-bus`: a function is its own port where no parent is published;
* `rails-by-pci-order`: rails count the ports of RDMA NICs in the order of their PCI addresses, as machines are cabled.
  NICs that share no PCIe switch (or else root) with a GPU are left out when others do. The NICs of one GPU are one
  rail, and it is the GPU's. Where several GPUs share several NICs, each NIC is a rail and the GPUs' rail is unknown.
* `rail-of-nic`: where rails are published nothing is counted, and a GPU is on the rail that the NICs of its PCIe switch
  (or else root) publish, if it is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from fairlead.resource import Device, DeviceAttribute
from fairlead.topology.location import FACTS, LOCAL, Location
from fairlead.topology.rules import DriverRule, KindCase, Platform, Rules

_ADDRESS: Final = re.compile(r"[0-9a-fA-F]{4,}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]")
_RAILS: Final = "rule rails-by-pci-order"
_OF_NIC: Final = "rule rail-of-nic"
_UNKNOWN_DRIVER: Final = DriverRule("", (KindCase("other"),))


class _Draft:
    """A location in the making."""

    __slots__ = ("facts", "kind", "name", "part", "sources")

    def __init__(self, name: str, kind: str, part: bool) -> None:
        self.name = name
        self.kind = kind
        self.part = part
        self.facts: dict[str, Any] = {}
        self.sources: dict[str, str] = {}

    def set(self, fact: str, value: str | int | bool, source: str) -> None:
        """Sets a fact that is not known yet."""
        if fact not in self.facts:
            self.facts[fact] = value
            self.sources[fact] = source

    def get(self, fact: str) -> Any:
        return self.facts.get(fact)

    def done(self) -> Location:
        if self.kind != "gpu":
            self.facts.pop("nvlink", None)
            self.sources.pop("nvlink", None)
        return Location(kind=self.kind, part=self.part, sources=self.sources, **self.facts)


def locate(devices: Sequence[tuple[str, Device]], rules: Rules) -> tuple[Location, ...]:
    """Where the devices of one node sit, in their order.

    Args:
        devices: driver name and device, all of one node.
        rules: what attributes mean.
    """
    drafts = [_published(driver, device, rules) for driver, device in devices]
    for platform in rules.platforms:
        _apply(platform, drafts)
    _numa_of_root(drafts)
    _fabrics(drafts, rules)
    for draft in drafts:
        if draft.get("bus"):
            draft.set("port", draft.get("bus"), "rule port-of-bus")
    _rails(drafts)
    return tuple(draft.done() for draft in drafts)


def reads_of(rules: Rules, driver: str) -> set[str]:
    """The attributes of a driver's devices that decide where they sit, in every spelling."""
    rule = rules.drivers.get(driver, _UNKNOWN_DRIVER)
    names = {name for case in rule.kinds for name in case.when}
    for fact in FACTS:
        names.update(rule.attributes.get(fact, ()))
        names.update(rules.attributes.get(fact, ()))
    short = {name.partition("/")[2] for name in names if name.startswith(f"{driver}/")}
    return names | short | {f"{driver}/{name}" for name in names if "/" not in name}


def _published(driver: str, device: Device, rules: Rules) -> _Draft:
    rule = rules.drivers.get(driver, _UNKNOWN_DRIVER)
    attributes = device.attributes
    case = next((c for c in rule.kinds if _holds(c, driver, attributes)), KindCase("other"))
    draft = _Draft(device.name, case.kind, case.part)
    for fact in FACTS:
        for name in (*rule.attributes.get(fact, ()), *rules.attributes.get(fact, ())):
            key = _key(name, driver, attributes)
            value = _value(fact, attributes.get(key))
            if value is not None:
                draft.set(fact, value, f"attribute {key}")
                break
    return draft


def _holds(case: KindCase, driver: str, attributes: Mapping[str, DeviceAttribute]) -> bool:
    for name, wanted in case.when.items():
        value = _plain(attributes.get(_key(name, driver, attributes)))
        if value is None or (wanted != "*" and (type(value) is not type(wanted) or value != wanted)):
            return False
    return True


def _key(name: str, driver: str, attributes: Mapping[str, DeviceAttribute]) -> str:
    """How a device spells an attribute; one without a domain is the same as one in the driver's."""
    if name not in attributes:
        domain, slash, short = name.partition("/")
        if not slash:
            return f"{driver}/{name}"
        if domain == driver:
            return short
    return name


def _plain(attribute: DeviceAttribute | None) -> str | int | bool | None:
    """The value of an attribute; of a list only when it has one entry, as several do not say where a device sits."""
    if attribute is None:
        return None
    for scalar in (attribute.bool_, attribute.int_, attribute.string, attribute.version):
        if scalar is not None:
            return scalar
    for many in (attribute.bools, attribute.ints, attribute.strings, attribute.versions):
        if many is not None and len(many) == 1:
            one: str | int | bool = many[0]
            return one
    return None


def _value(fact: str, attribute: DeviceAttribute | None) -> str | int | bool | None:
    """A fact from an attribute, None when it does not have the form of one (drivers write "0" for no address)."""
    value = _plain(attribute)
    match fact:
        case "numa" | "rail":
            if isinstance(value, str) and value.isascii() and value.isdigit():
                value = int(value)
            # Linux says -1 for a device of no NUMA node.
            return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
        case "rdma":
            return value if isinstance(value, bool) else None
        case "bus" | "port":
            return value.lower() if isinstance(value, str) and _ADDRESS.fullmatch(value) else None
        case _:
            return value if isinstance(value, str) and value else None


def _apply(platform: Platform, drafts: Sequence[_Draft]) -> None:
    found: list[tuple[_Draft, Mapping[str, str | int]]] = []
    for draft in drafts:
        if draft.kind != platform.kind or not platform.pattern.fullmatch(draft.get("model") or ""):
            continue
        facts = next((case.facts for case in platform.cases if case.bus.fullmatch(draft.get("bus") or "")), None)
        if facts is None or any(draft.get(fact) not in (None, value) for fact, value in facts.items()):
            return
        found.append((draft, facts))
    for draft, facts in found:
        for fact, value in facts.items():
            draft.set(fact, value, f"rule {platform.name}")


def _numa_of_root(drafts: Sequence[_Draft]) -> None:
    by_root: dict[str, set[int]] = {}
    for draft in drafts:
        if draft.get("root") and draft.get("numa") is not None:
            by_root.setdefault(draft.get("root"), set()).add(draft.get("numa"))
    for draft in drafts:
        known = by_root.get(draft.get("root") or "", set())
        if len(known) == 1:
            draft.set("numa", next(iter(known)), "rule numa-of-root")


def _fabrics(drafts: Sequence[_Draft], rules: Rules) -> None:
    published = {draft.get("nvlink") for draft in drafts if draft.get("nvlink")}
    for draft in drafts:
        if draft.kind != "gpu" or draft.part:
            continue
        model = rules.model("gpu", draft.get("model") or "")
        if model is None or model.fabric is None:
            continue
        if model.fabric.spans and len(published) == 1:
            draft.set("nvlink", next(iter(published)), "rule fabric-of-node")
        draft.set("nvlink", LOCAL + model.name, f"rule model {model.name}")


def _rails(drafts: Sequence[_Draft]) -> None:
    gpus = [d for d in drafts if d.kind == "gpu" and not d.part]
    if any(draft.get("rail") is not None for draft in drafts):
        near, level = _near_gpus([d for d in drafts if d.kind == "nic" and d.get("rail") is not None], gpus)
        _rails_of_gpus(_places(near, gpus, level), _OF_NIC)
        return
    nics = [d for d in drafts if d.kind == "nic" and d.get("rdma") and d.get("bus")]
    near, level = _near_gpus(nics, gpus)
    places = _places(near, gpus, level)
    together = bool(near) and all(
        len(place_gpus) == 1 or len(_ports(place_nics)) == 1 for place_nics, place_gpus in places.values() if place_nics
    )
    order: dict[str, int] = {}
    for draft in sorted(near or nics, key=lambda draft: str(draft.get("port"))):
        order.setdefault(draft.get(level) if together else draft.get("port"), len(order))
    for draft in near or nics:
        draft.set("rail", order[draft.get(level) if together else draft.get("port")], _RAILS)
    _rails_of_gpus(places, _RAILS)


def _places(nics: Sequence[_Draft], gpus: Sequence[_Draft], level: str) -> dict[str, tuple[list[_Draft], list[_Draft]]]:
    """The NICs and the GPUs of each place."""
    places: dict[str, tuple[list[_Draft], list[_Draft]]] = {}
    for side, drafts in enumerate((nics, gpus)):
        for draft in drafts:
            places.setdefault(draft.get(level) or "", ([], []))[side].append(draft)
    return places


def _rails_of_gpus(places: Mapping[str, tuple[Sequence[_Draft], Sequence[_Draft]]], rule: str) -> None:
    for nics, gpus in places.values():
        rails = {nic.get("rail") for nic in nics}
        if len(rails) == 1:
            for gpu in gpus:
                gpu.set("rail", next(iter(rails)), rule)


def _near_gpus(nics: Sequence[_Draft], gpus: Sequence[_Draft]) -> tuple[list[_Draft], str]:
    """The NICs that share a place with GPUs, by the closest kind of place that some share."""
    for level in ("switch", "root"):
        places = {gpu.get(level) for gpu in gpus} - {None}
        near = [nic for nic in nics if nic.get(level) in places]
        if near:
            return near, level
    return [], "root"


def _ports(nics: Iterable[_Draft]) -> set[str]:
    return {nic.get("port") for nic in nics}
