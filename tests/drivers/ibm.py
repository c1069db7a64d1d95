"""What the tests of IBM's hardware share: a driver on the kit's engine, its slices, and allocated claims.

The allocator is the product's own; drivers themselves know nothing of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from fairlead.cli.inputs import BadInputError, load
from fairlead.driver import Driver, Pool
from fairlead.driver.cdi import SpecFolder
from fairlead.driver.engine import Engine
from fairlead.driver.inventory import make_inventory
from fairlead.driver.metadata import MetadataFolder
from fairlead.driver.slices import Publication, plan, problems_of
from fairlead.driver.steps import Answer, Steps
from fairlead.driver.store import Store
from fairlead.hardware import RecordedMachine, Recording, RecordingMachine, read_recording, write_recording
from fairlead.placement import plan as place
from fairlead.resource import ObjectMeta, Objects, ResourceClaim, ResourceSlice
from fairlead.simulation import render

NODE = "worker-0"


def devices(pool: Pool) -> dict[str, dict[str, Any]]:
    """The devices of a pool with plain values of their attributes and capacities."""
    return {
        one.name: {
            name: next(v for v in (a.string, a.int_, a.bool_, a.version) if v is not None)
            for name, a in one.attributes.items()
        }
        | {name: str(capacity.value) for name, capacity in one.capacity.items()}
        for one in pool.devices
    }


def slices(driver: Driver) -> list[ResourceSlice]:
    """What the kit would publish; AssertionError where the API server would refuse it."""
    pools = make_inventory(driver.discover(), NODE).pools
    of = Publication(driver.name, NODE, "", True)
    problems = problems_of(of, pools)
    assert not problems, problems
    return [
        msgspec.structs.replace(one.item, metadata=ObjectMeta(name=one.item.name)) for one in plan(of, pools, [], {})
    ]


def replayed(machine: Any, make: Any, folder: Path) -> Driver:
    """The same driver on a recording of the machine that was written to a file and read again."""
    recording = Recording(machine=NODE, taken="2026-11-24T00:00:00Z")
    make(RecordingMachine(machine, recording)).discover()
    write_recording(recording, folder / "recording.yaml")
    made: Driver = make(RecordedMachine(read_recording(folder / "recording.yaml")))
    return made


class Node:
    """One node with a driver, from discovery to CDI files."""

    def __init__(self, driver: Driver, folder: Path) -> None:
        self.driver = driver
        self.folder = folder
        self.cdi = folder / "cdi"
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.engine = Engine(
            driver,
            Store(folder / "plugin", "boot-1"),
            Steps(
                driver,
                SpecFolder(driver.name, self.cdi),
                MetadataFolder(driver.name, folder / "plugin"),
                lambda event, **fields: self.told.append((event, fields)),
            ),
            lambda event, **fields: self.told.append((event, fields)),
        )
        self.look()

    def look(self) -> None:
        """Discovers anew."""
        self.engine.inventory = make_inventory(self.driver.discover(), NODE)

    def allocated(self, *objects: str | dict[str, Any] | Path) -> list[tuple[str, list[ResourceClaim]]]:
        """The pods of these objects in their order, with their claims as the allocator fills them; no claims for a pod
        that does not fit."""
        place_of = self.folder / "input"
        place_of.mkdir(exist_ok=True)
        (place_of / "slices.yaml").write_text(render(Objects(slices=slices(self.driver)), "yaml", "found"))
        paths = [str(place_of / "slices.yaml")]
        for number, one in enumerate(objects):
            if isinstance(one, dict):
                (place_of / f"{number}.json").write_text(json.dumps(one))
                paths.append(str(place_of / f"{number}.json"))
            else:
                paths.append(str(one))
        try:
            given = load(paths)
        except BadInputError as error:
            raise AssertionError("; ".join(map(str, error.problems))) from None
        found = []
        for placement in place(given.cluster, given.pods).placements:
            claims = [
                msgspec.structs.replace(
                    one.claim, metadata=msgspec.structs.replace(one.claim.metadata, uid=f"uid-{one.claim.name}")
                )
                for one in placement.claims
            ]
            found.append((placement.pod.pod.metadata.name, claims))
        return found

    def prepare(self, claim: ResourceClaim) -> tuple[Answer, ...]:
        """Prepares a claim, twice, as kubelet may."""
        first = self.engine.prepare(claim, claim.metadata.uid)
        assert self.engine.prepare(claim, claim.metadata.uid) == first
        return first

    def edits(self, claim: ResourceClaim) -> list[dict[str, Any]]:
        """What the claim's CDI file has for its devices, in their order."""
        spec = json.loads((self.cdi / f"k8s.{self.driver.name}-claim_{claim.metadata.uid}.json").read_text())
        return [one["containerEdits"] for one in spec["devices"] if "_metadata_" not in one["name"]]

    def files(self) -> list[str]:
        """The CDI files that are there."""
        return sorted(os.listdir(self.cdi)) if self.cdi.is_dir() else []


def device_class(name: str, driver: str, selector: str) -> dict[str, Any]:
    """A class of some of a driver's devices."""
    expression = f"device.driver == '{driver}' && {selector}"
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": name},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    }


def claim(name: str, *requests: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A claim; requests as JSON, `deviceClassName` and the like below `exactly`."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"devices": {"requests": list(requests), **spec}},
    }


def pod(name: str, *claims: str) -> dict[str, Any]:
    """A pod with these claims."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "resourceClaims": [{"name": one, "resourceClaimName": one} for one in claims],
            "containers": [{"name": "c", "image": "i", "resources": {"claims": [{"name": one} for one in claims]}}],
        },
    }


def applied(path: Path, namespace: str) -> list[dict[str, Any]]:
    """The objects of a file, as `kubectl apply --namespace` sends them."""
    objects = [one for one in yaml.safe_load_all(path.read_text()) if one]
    for one in objects:
        one["metadata"].setdefault("namespace", namespace)
    return objects


def pods(*names: str, **request: Any) -> Sequence[dict[str, Any]]:
    """Pods, each with a claim of its own that makes one request."""
    made: list[dict[str, Any]] = []
    for name in names:
        made += [claim(name, {"name": "one", "exactly": request}), pod(name, name)]
    return made
