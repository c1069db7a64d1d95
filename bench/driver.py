"""What a driver on the kit costs: preparing over the socket, and a node process that has nothing to do.

    python bench/driver.py [CLAIMS]

`fairlead node` with four simulated drivers of 200 devices each, on a real API server (`make kube`), called by the
kubelet of the tests. Latencies are what kubelet sees: the call over the socket, the claim fetched from the API server,
the state on the disk twice, the CDI file. One run, after a warm-up; at once means that all calls are sent together and
wait for each other, for a driver prepares one claim after the other.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
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
IDLE = 20.0


def hardware(path: Path) -> None:
    """Four drivers with 200 devices each."""
    texts = []
    for driver in DRIVERS:
        for part in range(2):
            devices = [Device(name=f"d{number}") for number in range(part * 100, part * 100 + 100)]
            spec = ResourceSliceSpec(driver, ResourcePool(NODE, 1, 2), node_name=NODE, devices=devices)
            texts.append(write_yaml(ResourceSlice(metadata=ObjectMeta(name=f"{driver}-{part}"), spec=spec)))
    path.write_text("---\n".join(texts))


def claim(plane: ControlPlane, number: int) -> tuple[str, str]:
    """UID and name of a claim for one device of the first driver."""
    place = "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaims"
    item = plane.api.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": f"claim-{number}", "namespace": "ml"},
            "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}},
        }
    )
    result = {"request": "r", "driver": DRIVERS[0], "pool": NODE, "device": f"d{number}"}
    item["status"] = {"allocation": {"devices": {"results": [result]}}}
    plane.api.request("PUT", f"{place}/claim-{number}/status", item)
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


async def measure(root: Path, plane: ControlPlane, process: subprocess.Popen[bytes], count: int) -> None:
    """Prints all figures."""
    began = time.perf_counter()
    while len(list((root / "r").glob("*.sock"))) < len(DRIVERS):
        await asyncio.sleep(0.05)
    print(f"four drivers listen after {time.perf_counter() - began:.1f} s")
    plugins = await register(root / "r")
    plugin: Plugin = plugins[0]
    claims = [claim(plane, number) for number in range(count)]
    for repeat in range(2):
        for at_once in (False, True):
            how = "all at once" if at_once else "one by one "
            prepared = await timed([lambda c=c: plugin.prepare(c) for c in claims], at_once)  # type: ignore[misc]
            again = await timed([lambda c=c: plugin.prepare(c) for c in claims], at_once)  # type: ignore[misc]
            undone = await timed([lambda c=c: plugin.unprepare(c) for c in claims], at_once)  # type: ignore[misc]
            if repeat:
                print(f"prepare   {how} {prepared}\n  repeated {how} {again}\nunprepare {how} {undone}")
    await asyncio.sleep(5)
    _, before = usage(process.pid)
    await asyncio.sleep(IDLE)
    memory, after = usage(process.pid)
    print(f"idle with four drivers: {memory:.0f} MiB, {100 * (after - before) / IDLE:.2f} % of a core")
    for one in plugins:
        await one.close()


def main() -> None:
    """Runs the bench."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as folder, ControlPlane(Options(components=("etcd", "kube-apiserver"))) as plane:
        root = Path(folder)
        hardware(root / "hardware.yaml")
        plane.api.create(fake_node(NODE))
        plane.namespace("ml")
        command = [sys.executable, "-c", "from fairlead.cli import main; main()", "node", "--node-name", NODE]
        command += ["--driver", f"simulated={root / 'hardware.yaml'}", "--kubeconfig", str(plane.kubeconfig)]
        for option, name in (("--plugins-dir", "p"), ("--registry-dir", "r"), ("--cdi-dir", "cdi")):
            command += [option, str(root / name)]
        with (root / "log").open("wb") as log:
            process = subprocess.Popen(command, stderr=log)
        try:
            asyncio.run(measure(root, plane, process, count))
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
