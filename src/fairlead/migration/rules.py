"""Which resource of which device plugin is which request of a claim.

Sources: the resource names are those of the device plugins (NVIDIA k8s-device-plugin, AMD, Intel, Gaudi, AWS EFA,
k8s-rdma-shared-dev-plugin, sriov-network-device-plugin, IBM's Spyre operator and Power device plugin); the classes and
attributes are those of the DRA drivers that follow them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9.-]+/[A-Za-z0-9._-]+")
_CLASS: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


class RuleError(ValueError):
    """A rule of the user is none; the text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one resource becomes."""

    device_class: str
    name: str
    """What the request is called."""
    selector: str = ""
    """CEL over `device`, beside those of the class; empty for none."""
    capacity: Mapping[str, str] = field(default_factory=dict)
    """What each device must give, where several claims may share it."""
    match: str = ""
    """The attribute in which all devices of the request must agree; empty for none."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of resource, a regular expression over names, and what it becomes; `{0}` stands for the first group."""

    resource: str
    device_class: str
    name: str
    selector: str = ""
    capacity: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    """What is different afterwards."""
    class_selector: str = ""
    """The class's own selector, where no driver brings the class."""
    match: str = ""
    """The attribute in which all devices must agree, for resources that have the first group."""

    def request(self, resource: str) -> Request | None:
        """What a resource becomes; None where the rule does not speak of it."""
        found = re.fullmatch(self.resource, resource)
        if found is None:
            return None
        # NVIDIA's plugin writes the profile `1g.10gb+me` with a dot.
        groups = [re.sub(r"gb\.", "gb+", group or "") for group in found.groups()]
        match = self.match.format(*groups) if groups and groups[0] else ""
        return Request(self.device_class, self.name, self.selector.format(*groups), self.capacity, match)


_GPU: Final = "device.attributes['gpu.nvidia.com']"
_SPYRE: Final = "device.attributes['spyre.ibm.com']"
_TIER: Final = "spyre.ibm.com/peerGroup{0}"
_CREDITS: Final = "the claim counts one window of the accelerator, as the device plugin did; nothing enforces it"

RULES: Final = (
    Rule(r"nvidia\.com/gpu", "gpu.nvidia.com", "gpu"),
    Rule(
        r"nvidia\.com/gpu\.shared",
        "gpu.nvidia.com",
        "gpu",
        capacity={"shares": "1"},
        note="a share is counted, not enforced; the driver must publish shares of GPUs",
    ),
    Rule(
        r"nvidia\.com/mig-((?:[0-9]+c\.)?[0-9]+g\.[0-9]+gb(?:\.[a-z0-9.]+)?)",
        "mig.nvidia.com",
        "mig",
        f"{_GPU}.profile == '{{0}}'",
    ),
    Rule(r"amd\.com/gpu", "gpu.amd.com", "gpu"),
    Rule(
        r"vpc\.amazonaws\.com/efa",
        "efa.networking.k8s.aws",
        "efa",
    ),
    Rule(
        r"rdma/(.+)",
        "rdma",
        "rdma",
        note="the device plugin gave one NIC to many pods, a claim gives it to one, unless the driver shares it; which "
        "NICs the name stood for is in the plugin's configuration, a claim takes any (--map can say which)",
        class_selector="device.driver == 'dra.net' && device.attributes['dra.net'].rdma",
    ),
    Rule(r"ibm\.com/spyre_pf(?:_tier([0-9]+))?", "spyre.ibm.com", "spyre", f"{_SPYRE}.isPf", match=_TIER),
    Rule(r"ibm\.com/spyre_vf(?:_tier([0-9]+))?", "spyre.ibm.com", "spyre", f"!{_SPYRE}.isPf", match=_TIER),
    Rule(r"power-dev-plugin/.+", "nx.device.power.ibm.com", "nx", note=_CREDITS),
)
"""What is known; a user's rules come first."""


def find(rules: Iterable[Rule], resource: str) -> tuple[Rule, Request] | None:
    """The first rule that speaks of a resource, and what the resource becomes."""
    for rule in rules:
        if (request := rule.request(resource)) is not None:
            return rule, request
    return None


def is_extended(resource: str) -> bool:
    """Whether a device plugin may offer it: it has a domain, and none of Kubernetes' own."""
    domain, slash, _ = resource.partition("/")
    return bool(slash) and not domain.endswith("kubernetes.io") and not resource.startswith("requests.")


def read_rule(text: str) -> Rule:
    """A rule from `RESOURCE=CLASS` or `RESOURCE=CLASS,SELECTOR`.

    Raises:
        RuleError: it is none.
    """
    resource, equals, rest = text.partition("=")
    device_class, _, selector = rest.partition(",")
    if not equals or not _NAME.fullmatch(resource):
        raise RuleError(
            f"{text!r}: must be RESOURCE=CLASS or RESOURCE=CLASS,SELECTOR, with RESOURCE like example.com/card"
        )
    if not _CLASS.fullmatch(device_class):
        raise RuleError(f"{text!r}: {device_class!r} is no name of a DeviceClass")
    return plain_rule(resource, device_class, selector)


def plain_rule(resource: str, device_class: str, selector: str = "") -> Rule:
    """The rule for one resource, whose request is called after it."""
    name = re.sub(r"[^a-z0-9]+", "-", resource.rpartition("/")[2].lower()).strip("-")
    return Rule(re.escape(resource), device_class, name, selector.replace("{", "{{").replace("}", "}}"))
