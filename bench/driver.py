"""What a driver on the kit costs: preparing over the socket, and a node process that has nothing to do.

    python bench/driver.py [--claims N] [--idle SECONDS] [--beside PROGRAM]

`fairlead node` with four simulated drivers of 200 devices each, on a real API server (`make kube`), called by the
kubelet of the tests. Latencies are what kubelet sees: the call over the socket, the claim fetched from the API server,
the state on the disk twice, the CDI file. One run, after a warm-up; at once means that all calls are sent together and
wait for each other, for a driver prepares one claim after the other.

PROGRAM is the kubelet plugin of Kubernetes' example driver (sigs.k8s.io/dra-example-driver, written in Go), which gets
the same calls afterwards, with 100 devices on the same API server; in a copy of its repository:

    CGO_ENABLED=0 go build -o /tmp/dra-example-kubeletplugin ./cmd/dra-example-kubeletplugin
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent.parent
sys.path += [str(HERE), str(HERE / "tests" / "driver")]

from kubelet import Plugin, register  # noqa: E402

from fairlead.resource import (  # noqa: E402
    Device,
    ObjectMeta,
    ResourcePool,
    ResourceSlice,
    ResourceSliceSpec,
    write_yaml,
)
from kube import ControlPlane, Options, fake_node  # noqa: E402

NODE = "node-1"
DRIVERS = ("a.example.com", "b.example.com", "c.example.com", "d.example.com")
DEVICES = 200
OTHERS_DEVICES = 100
"""The example driver publishes one slice, which may hold 128."""
OTHER = "gpu.example.com"
"""The example driver's name."""


def hardware(path: Path) -> None:
    """Four drivers with 200 devices each."""
    texts = []
    for driver in DRIVERS:
        for part in range(2):
            devices = [Device(name=f"d{number}") for number in range(part * 100, part * 100 + 100)]
            spec = ResourceSliceSpec(driver, ResourcePool(NODE, 1, 2), node_name=NODE, devices=devices)
            texts.append(write_yaml(ResourceSlice(metadata=ObjectMeta(name=f"{driver}-{part}"), spec=spec)))
    path.write_text("---\n".join(texts))


def devices(plane: ControlPlane, driver: str, count: int) -> list[tuple[str, str]]:
    """Pool and name of a driver's devices, as soon as they are published."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        specs = [one["spec"] for one in plane.api.items("/apis/resource.k8s.io/v1/resourceslices")]
        ours = [one for one in specs if one["driver"] == driver]
        found = [(one["pool"]["name"], device["name"]) for one in ours for device in one.get("devices", [])]
        if len(found) >= count:
            return found
        time.sleep(0.2)
    raise SystemExit(f"{driver} has not published {count} devices after a minute")


def claim(plane: ControlPlane, driver: str, pool: str, device: str) -> tuple[str, str]:
    """UID and name of a claim for one device."""
    place = "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaims"
    item = plane.api.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"generateName": "claim-", "namespace": "ml"},
            "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}},
        }
    )
    result = {"request": "r", "driver": driver, "pool": pool, "device": device}
    item["status"] = {"allocation": {"devices": {"results": [result]}}}
    plane.api.request("PUT", f"{place}/{item['metadata']['name']}/status", item)
    return item["metadata"]["uid"], item["metadata"]["name"]


def usage(pid: int) -> tuple[float, float]:
    """MiB in memory, and CPU seconds so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20, (int(fields[11]) + int(fields[12])) / ticks


async def timed(calls: Sequence[Callable[[], Awaitable[Any]]], at_once: bool) -> str:
    """The latencies of calls, one after another or all together, and how many a second."""
    took: list[float] = []

    async def one(call: Callable[[], Awaitable[Any]]) -> None:
        began = time.perf_counter()
        answer = await call()
        took.append(time.perf_counter() - began)
        for value in answer.values():
            assert (value if isinstance(value, str) else value[1]) == "", value

    began = time.perf_counter()
    if at_once:
        await asyncio.gather(*map(one, calls))
    else:
        for call in calls:
            await one(call)
    seconds = time.perf_counter() - began
    took.sort()
    middle, late = took[len(took) // 2], took[int(len(took) * 0.99)]
    return f"p50 {middle * 1000:7.1f} ms, p99 {late * 1000:7.1f} ms, {len(took) / seconds:6.0f} a second"


async def measure(root: Path, plane: ControlPlane, drivers: Sequence[str], pid: int, count: int, idle: float) -> None:
    """Prints all figures of a process with drivers, of which the first is called."""
    began = time.perf_counter()
    while len(list((root / "r").glob("*.sock"))) < len(drivers):
        await asyncio.sleep(0.05)
    print(f"  listens after {time.perf_counter() - began:.1f} s")
    plugins = await register(root / "r")
    plugin: Plugin = next(one for one in plugins if one.name == drivers[0])
    there = await asyncio.to_thread(devices, plane, drivers[0], count)
    claims = [claim(plane, drivers[0], pool, device) for pool, device in there[:count]]
    for repeat in range(2):
        for at_once in (False, True):
            how = "all at once" if at_once else "one by one "
            prepared = await timed([lambda c=c: plugin.prepare(c) for c in claims], at_once)  # type: ignore[misc]
            again = await timed([lambda c=c: plugin.prepare(c) for c in claims], at_once)  # type: ignore[misc]
            undone = await timed([lambda c=c: plugin.unprepare(c) for c in claims], at_once)  # type: ignore[misc]
            if repeat:
                print(f"  prepare   {how} {prepared}\n    repeated {how} {again}\n  unprepare {how} {undone}")
    await asyncio.sleep(5)
    _, before = usage(pid)
    await asyncio.sleep(idle)
    memory, after = usage(pid)
    print(f"  idle for {idle:.0f} s: {memory:.0f} MiB, {100 * (after - before) / idle:.2f} % of a core")
    for one in plugins:
        await one.close()


@contextmanager
def running(command: Sequence[str | Path], log: Path) -> Iterator[int]:
    """A process while the block runs: its id."""
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, stdout=stderr)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def ours(root: Path, plane: ControlPlane) -> list[str | Path]:
    """`fairlead node`."""
    hardware(root / "hardware.yaml")
    command = [sys.executable, "-c", "from fairlead.cli import main; main()", "node", "--node-name", NODE]
    command += ["--driver", f"simulated={root / 'hardware.yaml'}", "--kubeconfig", str(plane.kubeconfig)]
    for option, name in (("--plugins-dir", "p"), ("--registry-dir", "r"), ("--cdi-dir", "cdi")):
        command += [option, str(root / name)]
    return [*command, "--listen", "127.0.0.1:0"]


def example(root: Path, plane: ControlPlane, program: Path) -> list[str | Path]:
    """The example driver."""
    for name in ("p", "r", "cdi"):
        (root / name).mkdir()
    return [
        program,
        f"--node-name={NODE}",
        f"--kubeconfig={plane.kubeconfig}",
        f"--driver-name={OTHER}",
        f"--num-devices={OTHERS_DEVICES}",
        f"--kubelet-plugins-directory-path={root / 'p'}",
        f"--kubelet-registrar-directory-path={root / 'r'}",
        f"--cdi-root={root / 'cdi'}",
        # Five requests a second are its default: then that is all that would be measured.
        "--kube-api-qps=1000",
        "--kube-api-burst=1000",
    ]


def main() -> None:
    """Runs the bench."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--claims", type=int, default=100, choices=range(1, 101), metavar="N")
    parser.add_argument("--idle", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--beside", type=Path, metavar="PROGRAM", help="the example driver's kubelet plugin")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ControlPlane(Options(components=("etcd", "kube-apiserver"))) as plane:
        plane.api.create(fake_node(NODE))
        plane.namespace("ml")
        print(f"load {os.getloadavg()[0]:.1f}; {options.claims} claims\nfairlead node, four drivers")
        root = Path(folder, "ours")
        root.mkdir()
        with running(ours(root, plane), root / "log") as pid:
            asyncio.run(measure(root, plane, DRIVERS, pid, options.claims, options.idle))
        if options.beside is not None:
            print("dra-example-driver, one driver")
            root = Path(folder, "example")
            root.mkdir()
            with running(example(root, plane, options.beside), root / "log") as pid:
                asyncio.run(measure(root, plane, [OTHER], pid, options.claims, options.idle))


if __name__ == "__main__":
    main()
