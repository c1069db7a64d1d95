"""A node's worth of kit around a network driver, and claims for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from fairlead.driver.cdi import SpecFolder
from fairlead.driver.engine import Engine
from fairlead.driver.inventory import make_inventory
from fairlead.driver.metadata import MetadataFolder
from fairlead.driver.steps import Steps
from fairlead.driver.store import Store
from fairlead.resource import ResourceClaim, decode_hook
from tests.driver.workshop import Unsynced

NODE = "node-1"
SRIOV = "sriovnetwork.k8snetworkplumbingwg.io"


class Node:
    """The folders of one node, which outlive the driver's processes."""

    def __init__(self, root: Path, name: str = NODE) -> None:
        self.name = name
        self.root = root / "node"
        self.log: list[tuple[str, dict[str, object]]] = []

    def engine(self, driver: Any, boot: str = "boot-1") -> Engine:
        """A newly started driver."""
        plugin, files = self.root / "plugin", Unsynced()
        steps = Steps(
            driver,
            SpecFolder(driver.name, self.root / "cdi", files),
            MetadataFolder(driver.name, plugin, files),
            self._told,
        )
        engine = Engine(driver, Store(plugin, boot, files, patience=0.2), steps, self._told)
        engine.inventory = make_inventory(driver.discover(), self.name)
        return engine

    def edits(self, driver: Any, uid: str) -> dict[str, dict[str, Any]]:
        """Device to what the runtime does for it."""
        text = (self.root / "cdi" / f"k8s.{driver.name}-claim_{uid}.json").read_text()
        found = json.loads(text)["devices"]
        devices = {one["name"]: one["containerEdits"] for one in found}
        return {name.split("_", 2)[2]: edits for name, edits in devices.items() if "_metadata_" not in name}

    def _told(self, event: str, **fields: object) -> None:
        self.log.append((event, fields))


def result(driver: str, device: str, request: str = "nic", **more: Any) -> dict[str, Any]:
    """One allocated device."""
    return {"request": request, "driver": driver, "pool": NODE, "device": device} | more


def opaque(driver: str, parameters: dict[str, Any], *requests: str) -> dict[str, Any]:
    """Configuration of a claim."""
    return {
        "source": "FromClaim",
        "requests": list(requests),
        "opaque": {"driver": driver, "parameters": parameters},
    }


def vf_config(**fields: Any) -> dict[str, Any]:
    """Configuration of the SR-IOV driver."""
    return opaque(SRIOV, {"apiVersion": f"{SRIOV}/v1alpha1", "kind": "VfConfig"} | fields)


def claim(
    uid: str, results: Iterable[dict[str, Any]], config: Iterable[dict[str, Any]] = (), namespace: str = "ml"
) -> ResourceClaim:
    """An allocated claim."""
    return msgspec.convert(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": f"claim-{uid}", "namespace": namespace, "uid": uid},
            "spec": {"devices": {}},
            "status": {"allocation": {"devices": {"results": list(results), "config": list(config)}}},
        },
        ResourceClaim,
        dec_hook=decode_hook,
    )
