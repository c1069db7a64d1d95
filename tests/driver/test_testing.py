"""The node in a folder with which authors test their drivers."""

from __future__ import annotations

from pathlib import Path

import pytest
from workshop import GpuConfig, Workshop

from fairlead.driver.author import Claim, Health, Pool, PrepareError
from fairlead.driver.inventory import DiscoveryError
from fairlead.driver.testing import LocalNode
from fairlead.resource import Device


def start(root: Path, kind: type[Workshop] = Workshop) -> tuple[LocalNode, Workshop]:
    (root / "hardware").mkdir(exist_ok=True)
    driver = kind(root / "hardware")
    return LocalNode(driver, root / "node"), driver


def held(driver: Workshop) -> list[str]:
    return sorted(path.name for path in driver.hardware.iterdir())


def test_preparing_and_unpreparing(tmp_path: Path) -> None:
    node, driver = start(tmp_path)
    claim = node.claim("gpu-1", "gpu-2", request="gpus/big", config=GpuConfig(sharing="time", slice_ms=5))
    prepared = node.prepare(claim)
    assert prepared.env == {"GPU_gpus": "gpu-2"}
    assert [one.path for one in prepared.device_nodes] == ["/dev/null", "/dev/null"]
    assert prepared.mounts == []
    assert [one.rpartition("_")[2] for one in prepared.cdi_ids] == ["gpu-1", "gpus", "gpu-2"]
    assert prepared.statuses["gpu-1"].network_data is not None
    assert driver.seen[0].devices[0].config(GpuConfig) == GpuConfig(sharing="time", slice_ms=5)
    assert node.prepare(claim) == prepared
    assert len(node.leftovers()) == 3
    node.unprepare(claim)
    assert (node.leftovers(), held(driver)) == ([], [])


def test_what_kubelet_would_be_told(tmp_path: Path) -> None:
    node, driver = start(tmp_path)
    node.prepare(node.claim("gpu-1"))
    with pytest.raises(PrepareError, match="device gpu-1 of pool node-1 is in use by"):
        node.prepare(node.claim("gpu-1"))
    with pytest.raises(PrepareError, match="device gpu-9 of pool node-1 is not on this node"):
        node.prepare(node.claim("gpu-9"))
    with pytest.raises(PrepareError, match=r"parameters: GpuConfig: Object contains unknown field `slices`"):
        node.prepare(node.claim("gpu-2", config={"apiVersion": "gpu.example.com/v1", "kind": "GpuConfig", "slices": 1}))
    node.prepare(node.claim("gpu-1", admin=True))
    driver.fail = "gpu-3"
    with pytest.raises(PrepareError, match="gpu-3 does not answer"):
        node.prepare(node.claim("gpu-2", "gpu-3"))
    assert held(driver) == ["gpu-1"]


def test_shares_of_a_device(tmp_path: Path) -> None:
    node, driver = start(tmp_path)
    for share in ("a", "b"):
        node.prepare(node.claim("gpu-1", share=share, consumed={"memory": "4Gi"}))
    assert str(driver.seen[1].devices[0].consumed_capacity["memory"]) == "4Gi"
    assert held(driver) == ["gpu-1@a", "gpu-1@b"]


@pytest.mark.parametrize("after", [0, 1, 2])
def test_killed_while_preparing(tmp_path: Path, after: int) -> None:
    node, driver = start(tmp_path)
    node.kill_while_preparing(node.claim("gpu-1", "gpu-2"), after)
    assert (node.leftovers(), held(driver)) == ([], [])
    assert len(driver.seen) == min(after, 1)


class Forgetful(Workshop):
    """Leaves something behind."""

    def unprepare(self, claim: Claim) -> None:
        raise OSError("cannot")


def test_a_driver_that_cannot_clean_up_is_found(tmp_path: Path) -> None:
    node, _ = start(tmp_path, Forgetful)
    with pytest.raises(AssertionError, match=r"ResourceClaim default/claim-1 \(uid .*\): cannot"):
        node.kill_while_preparing(node.claim("gpu-1"))


def test_a_restart_keeps_claims_and_a_reboot_does_not(tmp_path: Path) -> None:
    node, driver = start(tmp_path)
    claim = node.claim("gpu-1")
    prepared = node.prepare(claim)
    node.restart()
    assert (node.prepare(claim), len(driver.seen)) == (prepared, 1)
    another, _ = start(tmp_path)
    assert another.leftovers() == node.leftovers() != []
    node.reboot()
    assert (node.leftovers(), held(driver)) == ([], [])


class Ailing(Workshop):
    """Reports what it is told to."""

    reports: tuple[Health, ...] = ()

    def health(self) -> tuple[Health, ...]:
        return self.reports


def test_taints_come_at_once_and_go_after_a_while(tmp_path: Path) -> None:
    node, driver = start(tmp_path, Ailing)
    assert isinstance(driver, Ailing)
    driver.reports = (Health("gpu-2", False, "XID 79"),)
    assert [name for name, device in node.published().items() if device.taints] == ["gpu-2"]
    driver.reports = ()
    assert node.published(after=5)["gpu-2"].taints
    assert not node.published(after=30)["gpu-2"].taints
    driver.reports = (Health("gpu-9", False),)
    with pytest.raises(DiscoveryError, match="health: device gpu-9: was not discovered"):
        node.published()


class Wrong(Workshop):
    """Discovers what the API server refuses."""

    def discover(self) -> Pool:
        return Pool([Device(name="Card_0")])


def test_what_cannot_be_published_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match=r"spec.devices\[0\].name"):
        start(tmp_path, Wrong)


def test_slices_are_what_would_be_written(tmp_path: Path) -> None:
    node, _ = start(tmp_path)
    counters, devices = node.slices()
    assert [one.name for one in counters.spec.shared_counters] == ["gpu-0-counters"]
    assert [one.name for one in devices.spec.devices] == list(node.published())
