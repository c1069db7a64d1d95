"""A node's side: attached devices are found, waited for, given to containers, removed; others leave them alone."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fairlead.driver import Claim, ClaimDevice, Pool, PrepareError
from fairlead.driver.coexistence import withhold_shared
from fairlead.driver.shared import Shared
from fairlead.drivers.fabric import FabricDriver
from fairlead.drivers.fabric.options import Options, read_options
from fairlead.hardware import LiveMachine
from fairlead.resource import Device, DeviceAttribute, ResourcePool, ResourceSlice, ResourceSliceSpec
from tests.hardware.tree import Tree

FUNCTION = "/sys/devices/pci0000:60/0000:61:00.0"


def vpd(serial: str) -> bytes:
    field = b"SN" + bytes([len(serial)]) + serial.encode()
    return b"\x82\x03\x00GPU" + b"\x90" + len(field).to_bytes(2, "little") + field


def plug(tree: Tree, address: str, serial: bytes = b"", minor: int = 128) -> str:
    path = tree.pci(address, vendor=0x10DE, device=0x2331, class_code=0x030200, root="pci0000:60", driver="nvidia")
    tree.file(f"{path}/remove", "")
    if serial:
        tree.file(f"{path}/vpd", serial)
    tree.file(f"{path}/drm/renderD{minor}/dev", "226:128")
    tree.file(f"/dev/dri/renderD{minor}", "")
    return path


def claim(**texts: str) -> Claim:
    attributes = {key: DeviceAttribute(string=value) for key, value in texts.items()}
    device = Device(name="gpu-0", attributes=attributes)
    return Claim("u", "ml", "c", (ClaimDevice("gpu", "", "rack", "gpu-0", device),))


def driver(root: Path, seconds: float = 0.3) -> FabricDriver:
    return FabricDriver("fabric.fairlead.dev", Options(wait_seconds=seconds), LiveMachine(root))


ALL = {"serialNumber": "SN-001", "vendorId": "10de", "deviceId": "2331"}


def test_the_device_with_the_serial_number_is_prepared_and_removed(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    other = plug(tree, "0000:61:00.0", vpd("SN-000"))
    mine = plug(tree, "0000:62:00.0", vpd("SN-001"), 129)
    (prepared,) = driver(tmp_path).prepare(claim(**ALL))
    assert [one.path for one in prepared.edits.device_nodes] == ["/dev/dri/renderD129"]
    assert prepared.attributes is not None
    assert prepared.attributes["resource.kubernetes.io/pciBusID"].string == "0000:62:00.0"
    driver(tmp_path).unprepare(claim(**ALL))
    assert (tmp_path / mine.lstrip("/") / "remove").read_text() == "1"
    assert (tmp_path / other.lstrip("/") / "remove").read_text() != "1"


def test_unprepare_of_what_is_not_there_does_nothing(tmp_path: Path) -> None:
    driver(tmp_path).unprepare(claim(**ALL))


def test_a_serial_number_of_the_configuration_space_and_of_a_drive(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    path = plug(tree, "0000:61:00.0")
    head = (0x0003 | 1 << 16).to_bytes(4, "little") + 0x1234_5678_9ABC_DEF0.to_bytes(8, "little")
    tree.file(f"{path}/config", bytes(256) + head)
    (prepared,) = driver(tmp_path).prepare(claim(serialNumber="12-34-56-78-9A-BC-DE-F0"))
    assert prepared.edits.env == {"FABRIC_DEVICE_0": "0000:61:00.0"}
    drive = tree.pci("0000:70:00.0", vendor=0x144D, device=0xA80A, class_code=0x010802, driver="nvme")
    tree.file(f"{drive}/nvme/nvme3/serial", "S5GX NE0N")
    tree.folder(f"{drive}/nvme/nvme3/nvme3n1")
    tree.file("/dev/nvme3", "")
    tree.file("/dev/nvme3n1", "")
    (prepared,) = driver(tmp_path).prepare(claim(serialNumber="S5GXNE0N"))
    assert [one.path for one in prepared.edits.device_nodes] == ["/dev/nvme3", "/dev/nvme3n1"]


def test_preparing_waits_until_the_device_appears(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.folder("/sys/bus/pci/devices")
    timer = threading.Timer(0.4, lambda: plug(tree, "0000:61:00.0", vpd("SN-001")))
    timer.start()
    (prepared,) = driver(tmp_path, 10.0).prepare(claim(**ALL))
    timer.join()
    assert prepared.edits.env == {"FABRIC_DEVICE_0": "0000:61:00.0"}


@pytest.mark.parametrize(
    ("texts", "functions", "reason"),
    [
        (ALL, [], "has not appeared on this node"),
        ({}, [], "neither its serial number nor its PCI ids are known"),
        (ALL, [("0000:61:00.0", b""), ("0000:62:00.0", b"")], "several functions with ids 10de:2331"),
        (ALL, [("0000:61:00.0", vpd("SN-777"))], "has not appeared on this node"),
    ],
)
def test_what_cannot_be_found_is_told(
    tmp_path: Path, texts: dict[str, str], functions: list[tuple[str, bytes]], reason: str
) -> None:
    tree = Tree(tmp_path)
    for address, serial in functions:
        plug(tree, address, serial)
    with pytest.raises(PrepareError, match=f"gpu-0: .*{reason}"):
        list(driver(tmp_path).prepare(claim(**texts)))


def test_the_nodes_own_driver_leaves_what_belongs_to_a_shared_pool() -> None:
    def device(name: str, uuid: str) -> Device:
        return Device(name=name, attributes={"uuid": DeviceAttribute(string=uuid)})

    spec = ResourceSliceSpec(
        driver="fabric.fairlead.dev", pool=ResourcePool(name="rack", generation=2), devices=[device("f", "GPU-A")]
    )
    old = ResourceSliceSpec(
        driver="fabric.fairlead.dev", pool=ResourcePool(name="rack", generation=1), devices=[device("old", "GPU-Z")]
    )
    slices = [ResourceSlice(api_version="resource.k8s.io/v1", kind="ResourceSlice", spec=one) for one in (old, spec)]
    shared = Shared(slices)
    assert [one.name for pool in shared.pools("fabric.fairlead.dev") for one in pool.devices] == ["f"]
    assert shared.identities("fabric.fairlead.dev") == {}
    local = Pool([device("a", "gpu-a"), device("a-mig", "MIG-1"), device("b", "GPU-B")], parts={"a-mig": "a"})
    (left,) = withhold_shared([local], shared.identities("gpu.nvidia.com"))
    assert [one.name for one in left.devices] == ["b"]
    assert left.problems[0].startswith("a: is not published: it belongs to pool rack of fabric.fairlead.dev")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("managers: [{name: R, url: 'https://a', way: connections}]", r"managers\[0\].name"),
        ("managers: [{name: r, url: a, way: connections}]", r"managers\[0\].url"),
        ("managers: [{name: r, url: 'https://a', way: magic}]", "way"),
        ("managers: [{name: r, url: 'https://a', way: connections, usernameFile: u}]", "belong together"),
        ("managers: [{name: r, url: 'http://a', way: connections, usernameFile: u, passwordFile: p}]", "https only"),
        ("waitSeconds: 60", "waitSeconds"),
        ("devices: [{match: {colour: red}}]", "colour"),
    ],
)
def test_a_configuration_that_cannot_be_used(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_options(tmp_path / "f.yaml")


def test_a_device_that_cannot_be_removed_keeps_the_claim(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    path = plug(tree, "0000:61:00.0", vpd("SN-001"))
    tree.remove(f"{path}/remove")
    tree.folder(f"{path}/remove")  # what no write gets through
    with pytest.raises(PrepareError, match=r"gpu-0: .*remove: Is a directory"):
        driver(tmp_path).unprepare(claim(**ALL))


def test_a_device_without_device_nodes_is_told_with_its_kernel_driver(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.pci("0000:61:00.0", vendor=0x10DE, device=0x2331, class_code=0x030200)
    with pytest.raises(PrepareError, match=r"gpu-0: 0000:61:00\.0 has no device node, it is bound to no driver"):
        list(driver(tmp_path).prepare(claim(**ALL)))


def test_files_of_other_functions_that_cannot_be_read_do_no_harm(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    broken = tree.pci("0000:51:00.0", vendor=0x10DE, device=0x2331, class_code=0x030200)
    tree.remove(f"{broken}/vendor")
    tree.folder(f"{broken}/vendor")
    tree.link("/sys/bus/pci/devices/0000:52:00.0", "/sys/devices/gone")
    plug(tree, "0000:61:00.0", vpd("SN-001"))
    (prepared,) = driver(tmp_path).prepare(claim(**ALL))
    assert prepared.edits.env == {"FABRIC_DEVICE_0": "0000:61:00.0"}
