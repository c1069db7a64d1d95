"""The driver's configuration: a YAML file with managers, and which of their resources are which devices.

    managers:
    - name: rack-1
      url: https://10.0.0.7
      way: resource-blocks                 # or: connections
      usernameFile: /etc/fabric/username
      passwordFile: /etc/fabric/password
      ca: /etc/fabric/ca.crt
      nodes: {label: fabric.fairlead.dev/system}      # or: {hostnames: {worker-1: System-1}}
      devicesPerNode: 8
    devices:
    - match: {type: GPU, model: "*H100*"}
      attributes: {productName: NVIDIA H100 80GB}

The first rule that matches says what a resource is; one that none matches is left alone. What a rule matches belongs to
this driver alone: attached to a node without a claim, it is taken back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Literal

import msgspec
import yaml

DRIVER: Final = "fabric.fairlead.dev"
LABEL: Final = "fabric.fairlead.dev/system"
_FIELDS: Final = ("type", "id", "manufacturer", "model")
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")
_ATTRIBUTE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of all parts of the file."""


class Nodes(_Part, frozen=True):
    """Which Redfish system a Kubernetes node is: by a label of the node whose value is the system's Id, or by name."""

    label: str = ""
    hostnames: dict[str, str] = {}
    """Value of the node's label `kubernetes.io/hostname` to the system's Id."""

    @property
    def key(self) -> str:
        """The label of nodes that tells."""
        return "kubernetes.io/hostname" if self.hostnames else self.label or LABEL

    def system(self, labels: dict[str, str]) -> str:
        """The system of a node with these labels; empty where it has none."""
        value = labels.get(self.key, "")
        return self.hostnames.get(value, "") if self.hostnames else value

    def values(self, systems: frozenset[str]) -> list[str]:
        """The values of the label that nodes have which are one of these systems."""
        if not self.hostnames:
            return sorted(systems)
        return sorted(name for name, system in self.hostnames.items() if system in systems)


class Manager(_Part, frozen=True):
    """One composition manager."""

    name: str
    url: str
    way: Literal["resource-blocks", "connections"]
    username_file: str = ""
    password_file: str = ""
    ca: str = ""
    """File with the certificates that vouch for the manager; empty for those of the system."""
    nodes: Nodes = Nodes()
    devices_per_node: int = 0
    """How many devices a node may have attached at a time; 0 for as many as the manager allows."""

    def credentials(self) -> tuple[str, str]:
        """User and password as the files have them now; empty for none.

        Raises:
            OSError: one cannot be read.
        """
        if not self.username_file:
            return "", ""
        return Path(self.username_file).read_text().strip(), Path(self.password_file).read_text().strip()


class Match(_Part, frozen=True):
    """Patterns (`*`, `?`) that a resource must fit; those that are absent fit all."""

    type: str = "*"
    """GPU, FPGA, Accelerator, Drive, NetworkAdapter, Memory: the kind of the resource as Redfish says it."""
    id: str = "*"
    manufacturer: str = "*"
    model: str = "*"

    def fits(self, type_: str, id_: str, manufacturer: str, model: str) -> bool:
        """Whether a resource with these is meant."""
        values = (type_, id_, manufacturer, model)
        return all(fnmatchcase(value, getattr(self, name)) for name, value in zip(_FIELDS, values, strict=True))


class Rule(_Part, frozen=True):
    """What a resource is to Kubernetes."""

    match: Match
    driver: str = DRIVER
    """Under which driver's name it is published; each has a registration with kubelet of its own."""
    attributes: dict[str, bool | int | str] = {}


class Options(_Part, frozen=True):
    """The whole file."""

    managers: list[Manager] = []
    devices: list[Rule] = []
    wait_seconds: float = 15.0
    """How long preparing waits for an attached device to appear on the node; kubelet asks again afterwards."""

    @property
    def drivers(self) -> Sequence[str]:
        """The names of the drivers that the rules speak of."""
        return list(dict.fromkeys(rule.driver for rule in self.devices)) or [DRIVER]


def read_options(path: Path) -> Options:
    """The configuration of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it cannot be used; the text names the field and the reason.
    """
    try:
        options = msgspec.convert(yaml.safe_load(path.read_bytes()) or {}, Options)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    names = [one.name for one in options.managers]
    for index, one in enumerate(options.managers):
        where = f"{path}: managers[{index}]"
        if not _NAME.fullmatch(one.name):
            raise ValueError(f"{where}.name: {one.name!r}: must be lower case letters, digits and -, 30 at most")
        if names.count(one.name) > 1:
            raise ValueError(f"{where}.name: {one.name!r}: is there twice")
        if not one.url.startswith(("https://", "http://")):
            raise ValueError(f"{where}.url: {one.url!r}: must begin with https:// or http://")
        if bool(one.username_file) != bool(one.password_file):
            raise ValueError(f"{where}: usernameFile and passwordFile belong together")
        if one.username_file and not one.url.startswith("https://") and "//127.0.0.1" not in one.url:
            raise ValueError(f"{where}.url: {one.url!r}: a password is sent over https only")
        if one.nodes.label and one.nodes.hostnames:
            raise ValueError(f"{where}.nodes: has label and hostnames, and must have one of them")
        if one.devices_per_node < 0:
            raise ValueError(f"{where}.devicesPerNode: must not be negative, is {one.devices_per_node}")
    for index, rule in enumerate(options.devices):
        for name in rule.attributes:
            if not _ATTRIBUTE.fullmatch(name):
                raise ValueError(f"{path}: devices[{index}].attributes: {name!r}: is no name of an attribute")
    if not 0 <= options.wait_seconds <= 40:
        raise ValueError(f"{path}: waitSeconds: must be between 0 and 40 (kubelet waits 45), is {options.wait_seconds}")
    return options
