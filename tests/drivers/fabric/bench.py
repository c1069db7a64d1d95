"""A driver in front of an emulator, without a cluster: claims are given by hand. Also a program, to be killed.

python -m tests.drivers.fabric.bench CONFIG CLAIMS: settles until nothing moves any more.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from fairlead.driver import Claim, ClaimDevice, Held, Pool
from fairlead.drivers.fabric import FabricDriver, read_options
from tests.drivers.fabric.emulator import Emulator
from tests.drivers.fabric.plain import PlainMachine

DRIVER = "fabric.fairlead.dev"
POOLS = {"resource-blocks": "rack-zone-1", "connections": "rack-pcie-1"}


def config(folder: Path, emulator: Emulator, **more: object) -> Path:
    """Writes a configuration for one manager."""
    manager = {
        "name": "rack",
        "url": emulator.url,
        "way": emulator.kind,
        "nodes": {"hostnames": {"node-1": "Sys-1", "node-2": "Sys-2"}},
    } | more
    rules = [{"match": {"type": "GPU"}, "attributes": {"productName": "NVIDIA H100 80GB", "spare": False, "tier": 2}}]
    path = folder / "fabric.yaml"
    path.write_text(yaml.safe_dump({"managers": [manager], "devices": rules, "waitSeconds": 1.0}))
    return path


def driver_of(path: Path, root: Path = Path("/nonexistent")) -> FabricDriver:
    options = read_options(path)
    return FabricDriver(options.drivers[0], options, PlainMachine(options, root))


def held(pool: str, device: str, node: str, uid: str = "u1", since: str = "t1") -> Held:
    devices = (ClaimDevice("gpu", "", pool, device, None),)
    return Held(Claim(uid, "ml", f"claim-{uid}", devices), node, {"kubernetes.io/hostname": node}, since)


def settle(driver: FabricDriver, claims: Sequence[Held], seconds: float = 10.0) -> int:
    """Until nothing moves; how many rounds it took."""
    end, rounds = time.monotonic() + seconds, 0
    while True:
        rounds += 1
        if driver.settle(claims) >= 60.0:
            return rounds
        assert time.monotonic() < end, "does not come to rest"
        time.sleep(0.02)


def names(pools: Sequence[Pool]) -> Mapping[str, list[str]]:
    return {pool.name: [one.name for one in pool.devices] for pool in pools}


def main() -> None:
    path, text = sys.argv[1:]
    settle(driver_of(Path(path)), [held(*one) for one in json.loads(text)])


if __name__ == "__main__":
    main()
