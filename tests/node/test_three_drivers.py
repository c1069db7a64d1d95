"""A claim for a GPU, a network card and a function of a DPU on one PCIe root, from three drivers, as a unit.

Real are kube-scheduler, kubelet, containerd and runc, and one `fairlead node` that serves the three drivers; made up is
the hardware: a recording (`one_root`). Its device files are made in the node's own /dev, an overlay in the node's mount
namespace, with the numbers of the real drivers, so nothing of them is seen on this machine. Nobody opens them, for this
kernel has no driver behind them: what is asked is which nodes a container has, and which its cgroup lets it open.
Troubles are those that hardware has (`troubled`): a device file or a function that has gone, netlink that refuses.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_objects import driver_access
from one_root import DPU_FUNCTION, NEAR, NODES, record
from stage import NOTHING, Stage, end, need_a_node

from kube import ControlPlane, RealNode, device_class, find_programs
from kube.binaries import NODE
from kube.node_config import SOCKET

pytestmark = pytest.mark.node

GPU, NIC, DPU = "gpu.nvidia.com", "dra.net", "dpu.fairlead.dev"
QUESTION = {GPU: "/dev/nvidia1", NIC: "links", DPU: DPU_FUNCTION}
"""What each driver asks while it prepares its device."""
ALONE = QUESTION | {DPU: f"{DPU_FUNCTION}/infiniband_verbs"}
"""The same, what no other driver asks: the network driver looks at all PCI functions."""
REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    GPU: ({"gone": [QUESTION[GPU]]}, "/dev/nvidia1: not there"),
    NIC: ({"refuses": {QUESTION[NIC]: "netlink: No buffer space available"}}, "No buffer space available"),
    DPU: ({"gone": [QUESTION[DPU]]}, "has not appeared on the host"),
}
NAMES = ("nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")
NAMES += ("infiniband/uverbs1", "infiniband/umad1", "infiniband/issm1", "infiniband/rdma_cm", "vfio/vfio")
"""Device files that the container must have, beside that of the function's IOMMU group."""


class Unit(Stage):
    """The node with the three drivers."""

    def start_driver(self, uid: str = "") -> str:
        before = len(self.told("driver", "registered"))
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from fairlead.cli import main; main()"
        argv = [sys.executable, "-c", code, "node", "--driver", f"troubled:make={self.faults}"]
        argv += ["--recording", str(self.hardware), "--node-name", self.node.name]
        argv += ["--kubeconfig", str(self.plane.folder / "driver.kubeconfig")]
        self.node.run("driver", argv)
        self.registered("driver", before)
        return "driver"

    def trouble(self, **troubles: Any) -> None:
        """What is wrong from now on, as `troubled` has it."""
        half = self.faults.with_suffix(".half")
        half.write_text(json.dumps(troubles))
        half.replace(self.faults)

    def plugin(self, driver: str) -> Path:
        return self.node.root / "var/lib/kubelet/plugins" / driver

    def prepared(self) -> dict[str, dict[str, str]]:
        made = {}
        for driver in (GPU, NIC, DPU):
            path = self.plugin(driver) / "prepared.json"
            claims = json.loads(path.read_bytes().split(b"\n", 1)[1])["claims"] if path.exists() else {}
            made[driver] = {uid: record["state"] for uid, record in claims.items()}
        return made

    def leftovers(self) -> dict[str, Any]:
        metadata = [str(path) for driver in (GPU, NIC, DPU) for path in self.plugin(driver).glob("dra-device-*/*")]
        kept = [str(path) for path in (self.plugin(NIC) / "network").glob("*/*")]
        return {"CDI files": self.specs(), "prepared": [*self.prepared().values()], "metadata": metadata + kept}

    def claimed(self, name: str = "p") -> None:
        """A claim of one device each on the same root, and a pod with a container that has it and one that has not."""
        requests = [
            {"name": "gpu", "exactly": {"deviceClassName": GPU}},
            {"name": "nic", "exactly": {"deviceClassName": NIC}},
            {"name": "dpu", "exactly": {"deviceClassName": DPU}},
        ]
        same = [{"matchAttribute": "resource.kubernetes.io/pcieRoot"}]
        self.claim_of("unit", {"requests": requests, "constraints": same})
        self.pod(name, {"c": ["unit"], "other": []}, {"unit": "unit"})

    def consistent(self, failing: str) -> bool:
        """Whether one driver has nothing of the claim, and each other has all of it or nothing."""
        uid, found, specs = self.uid("unit"), self.prepared(), self.specs()
        done = [driver for driver, claims in found.items() if claims == {uid: "completed"}]
        clean = all(claims in ({}, {uid: "completed"}) for claims in found.values())
        return clean and failing not in done and specs == sorted(f"k8s.{one}-claim_{uid}.json" for one in done)

    def nodes(self, container: str) -> tuple[dict[str, tuple[int, int]], set[str]]:
        """The device files of a container with their numbers, and what its cgroup (version 1) lets it open."""
        ctr = [str(find_programs(NODE)["ctr"]), "--address", SOCKET, "--namespace", "k8s.io"]
        tasks = [line.split() for line in self.node.do(*ctr, "task", "ls").stdout.splitlines()]
        pid = next(row[1] for row in tasks if row[0] == container.removeprefix("containerd://"))
        script = f"cd /proc/{pid}/root/dev && find . -path ./pts -prune -o -type c -exec stat -c '%n %t %T' {{}} +"
        rows = [line.split() for line in self.node.do("sh", "-c", script).stdout.splitlines()]
        cgroups = [line.split(":", 2) for line in self.node.do("cat", f"/proc/{pid}/cgroup").stdout.splitlines()]
        group = next((path for _, kinds, path in cgroups if kinds == "devices"), None)
        if group is None:
            pytest.skip("which devices a cgroup of version 2 allows cannot be read")
        allowed = set(Path(f"/sys/fs/cgroup/devices{group}/devices.list").read_text().splitlines())
        return {name[2:]: (int(major, 16), int(minor, 16)) for name, major, minor in rows}, allowed

    def check_devices(self) -> None:
        """The container has the device files of its three devices and may open them; the one beside it has none."""
        chosen = self.results("p")
        assert (chosen["unit/gpu"], chosen["unit/nic"]) == (f"{GPU}/gpu-1", f"{NIC}/pci-0000-3c-00-0")
        group = {f"{DPU}/vf-0000-3b-00-3": "vfio/70", f"{DPU}/vf-0000-3b-01-3": "vfio/71"}[chosen["unit/dpu"]]
        names = {*NAMES, group}
        containers = self.containers("p")
        (with_claim, may), (without, may_not) = self.nodes(containers["c"]), self.nodes(containers["other"])
        added = {name: numbers for name, numbers in with_claim.items() if name not in without}
        assert added == {name: NODES[name] for name in names}
        numbers = {f"{NODES[name][0]}:{NODES[name][1]}" for name in names}
        assert {rule.split()[1] for rule in may - may_not} == numbers
        environment = self.report("p", "c")["env"]
        assert environment["NVIDIA_VISIBLE_DEVICES"] == "void"
        assert environment["DRANET_DEVICE_PCI_0000_3C_00_0"] == "0000:3c:00.0"
        assert "NVIDIA_VISIBLE_DEVICES" not in self.report("p", "other")["env"]


def device_files(node: RealNode) -> None:
    """The machine's device files, in a /dev that only the node sees."""
    for name in ("dev", "dev.work"):
        (node.folder / name).mkdir()
    where = f"lowerdir=/dev,upperdir={node.folder / 'dev'},workdir={node.folder / 'dev.work'}"
    lines = [f"mount -t overlay overlay -o {where} /dev", "mkdir /dev/infiniband /dev/vfio"]
    lines += [f"mknod -m 666 /dev/{name} c {major} {minor}" for name, (major, minor) in NODES.items()]
    done = node.do("sh", "-ec", "\n".join(lines))
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unit]:
    """The node with the drivers, as long as the tests of this module run."""
    need_a_node()
    plane, node = ControlPlane(), None
    before = request.session.testsfailed
    plane.start()
    try:
        plane.api.create_all(device_class(name, f'device.driver == "{name}"') for name in (GPU, NIC))
        of_type = f'device.driver == "{DPU}" && device.attributes["{DPU}"].type == "vf"'
        plane.api.create(device_class(DPU, of_type))
        node = RealNode(plane)
        node.create()
        node.start()
        device_files(node)
        driver_access(plane, node, GPU, NIC, DPU, binding=True)
        unit = Unit(plane, node)
        unit.trouble()
        record(tmp_path_factory.mktemp("one-root"), unit.hardware)
        unit.start_driver()
        unit.wait(lambda: unit.published().keys() == {GPU, NIC, DPU}, "the slices")
        yield unit
    finally:
        end(request, before, plane, node)


@pytest.fixture
def unit(running: Unit, request: pytest.FixtureRequest) -> Iterator[Unit]:
    """The node with an empty namespace; nothing may be left of the test's pod."""
    running.enter(request)
    yield running
    running.trouble()
    if not running.node.runs("driver"):
        running.start_driver()
    running.leave()
    running.wait(lambda: running.leftovers() == NOTHING, f"nothing to be left, there is {running.leftovers()}", 20)


def test_three_drivers_serve_one_claim(unit: Unit) -> None:
    unit.claimed()
    unit.running("p")
    roots = {
        f"{driver}/{device['name']}": device["attributes"]["resource.kubernetes.io/pcieRoot"]["string"]
        for driver, devices in unit.published().items()
        for device in devices
    }
    assert {roots[device] for device in unit.results("p").values()} == {NEAR}
    assert set(roots.values()) != {NEAR}
    unit.check_devices()
    assert unit.prepared() == {driver: {unit.uid("unit"): "completed"} for driver in (GPU, NIC, DPU)}
    unit.delete("p")
    assert unit.leftovers() == NOTHING


@pytest.mark.parametrize("failing", [GPU, NIC, DPU])
def test_a_driver_refuses_until_its_trouble_is_over(unit: Unit, failing: str) -> None:
    trouble, reason = REFUSALS[failing]
    unit.trouble(**trouble)
    unit.claimed()
    unit.wait(lambda: any(reason in one for one in unit.events("p")), "an event with the reason")
    unit.wait(lambda: unit.consistent(failing), "the other drivers to have all of the claim or nothing")
    waiting = [one["state"]["waiting"]["reason"] for one in unit.status("p").values()]
    assert waiting == ["ContainerCreating", "ContainerCreating"]
    unit.trouble()
    unit.running("p")
    unit.check_devices()


@pytest.mark.parametrize("failing", [GPU, NIC, DPU])
def test_a_pod_goes_while_a_driver_refuses(unit: Unit, failing: str) -> None:
    trouble, reason = REFUSALS[failing]
    unit.trouble(**trouble)
    unit.claimed()
    unit.wait(lambda: any(reason in one for one in unit.events("p")), "an event with the reason")
    unit.delete("p")
    unit.wait(lambda: unit.leftovers() == NOTHING, "all drivers to have undone what they did, in spite of the trouble")


@pytest.mark.parametrize("dying", [GPU, NIC, DPU])
def test_the_process_is_killed_while_one_driver_prepares(unit: Unit, dying: str) -> None:
    unit.trouble(slow={ALONE[dying]: 30})
    unit.claimed()
    unit.wait(lambda: list(unit.prepared()[dying].values()) == ["started"], "the driver to prepare")
    unit.node.signal("driver", signal.SIGKILL)
    assert unit.node.halt("driver") == -signal.SIGKILL
    uid, found = unit.uid("unit"), unit.prepared()
    assert found.pop(dying) == {uid: "started"}
    assert all(claims in ({}, {uid: "completed"}) for claims in found.values())
    unit.trouble()
    unit.start_driver()
    unit.running("p")
    unit.check_devices()
