"""Hardware that answers badly or goes: each fault is told by name, and the other devices stay as they are.

`test_no_answer_of_one_function_...` tries every file of a function with every kind of bad answer; what each of them
means for the function itself is in `test_discovery`.
"""

from __future__ import annotations

import errno
import os

import msgspec
import pytest

from fairlead.driver import PrepareError
from fairlead.driver.inventory import make_inventory
from fairlead.driver.slices import Publication, problems_of
from fairlead.hardware import HardwareError, LiveFiles
from fairlead.resource import encode_hook
from tests.drivers.network.machines import PF, Rebinding, add_functions, connectx7, infiniband
from tests.drivers.network.node import NODE, Node, claim, opaque, result, vf_config

CARD = "/sys/devices/pci0000:3a/0000:3a:01.0"
FUNCTIONS = {
    "a port": f"{CARD}/0000:3b:00.1",
    "a physical function": f"{CARD}/{PF}",
    "a virtual one": f"{CARD}/0000:3b:00.5",
}
NONSENSE = [b"", b"\0\1\2", b"\xff\xfe", b"-1", b"9" * 30, b"x" * 5000]


def shown(driver):
    """Device to what is published of it, checked as the API server does."""
    inventory = make_inventory(driver.discover(), NODE)
    assert not problems_of(Publication(driver.name, NODE, "", True), inventory.pools)
    [pool] = inventory.pools
    return {one.name: msgspec.json.encode(one, enc_hook=encode_hook) for one in pool.devices}, pool


def related(device, address):
    """Whether a device is the function, or a physical or virtual function of it."""
    own = address.rpartition("/")[2]
    name = f"pci-{own.replace(':', '-').replace('.', '-')}"
    family = "pci-0000-3b-0" if own in (PF, "0000:3b:00.5") and device != "pci-0000-3b-00-1" else name
    return device.startswith(family)


@pytest.mark.parametrize("place", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("fault", ["nonsense", "gone", "forbidden"])
def test_no_answer_of_one_function_harms_another(tmp_path, monkeypatch, place, fault):
    made = connectx7(tmp_path)
    driver = made.driver()
    good, _ = shown(driver)
    root = made.tree.root
    files = sorted(one for one in (root / place[1:]).rglob("*") if one.is_file() or one.is_symlink())
    assert len(files) > 15
    forbidden: list[str] = []
    read, target = LiveFiles.read, LiveFiles.target

    def refuse(of):
        def refusing(self, path):
            if path in forbidden:
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return of(self, path)

        return refusing

    monkeypatch.setattr(LiveFiles, "read", refuse(read))
    monkeypatch.setattr(LiveFiles, "target", refuse(target))
    for file in files:
        link = os.readlink(file) if file.is_symlink() else None
        content = None if link is not None else file.read_bytes()
        for answer in NONSENSE if fault == "nonsense" and content is not None else [None]:
            if fault == "forbidden":
                forbidden[:] = [f"/{file.relative_to(root)}"]
            elif answer is not None:
                file.write_bytes(answer)
            else:
                file.unlink()
                if fault == "nonsense":
                    file.symlink_to(file.name)  # a loop
            found, _ = shown(driver)
            others = {name: one for name, one in good.items() if not related(name, place)}
            assert others
            assert {name: found.get(name) for name in others} == others, f"{file}: {answer!r}"
            list(driver.health())
            forbidden.clear()
            file.unlink(missing_ok=True)
            if link is not None:
                file.symlink_to(link)
            else:
                file.write_bytes(content or b"")
    assert shown(driver)[0] == good


def test_a_machine_without_network_hardware_is_no_error(tmp_path):
    made = connectx7(tmp_path, 0)
    for name in ("0000:00:03.0", "0000:00:04.0", "0000:3b:00.0", "0000:3b:00.1"):
        made.unplug(name)
    for number in range(2):
        made.tree.remove(f"/sys/class/infiniband/mlx5_{number}")
    assert shown(made.driver())[0] == {}


def forbid(monkeypatch, folder):
    names = LiveFiles.names

    def refuse(self, path):
        if path == folder:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return names(self, path)

    monkeypatch.setattr(LiveFiles, "names", refuse)


def test_rdma_devices_that_may_not_be_listed_cost_no_port(tmp_path, monkeypatch):
    made = connectx7(tmp_path)
    forbid(monkeypatch, "/sys/class/infiniband")
    found, pool = shown(made.driver())
    assert len(found) == 19
    assert pool.problems == ("RDMA devices: /sys/class/infiniband: Permission denied",)


def test_functions_that_may_not_be_listed_are_an_error_that_names_the_folder(tmp_path, monkeypatch):
    # The kit then keeps what was published.
    made = connectx7(tmp_path)
    forbid(monkeypatch, "/sys/bus/pci/devices")
    with pytest.raises(HardwareError, match="/sys/bus/pci/devices: Permission denied"):
        made.driver().discover()


@pytest.mark.parametrize("profile", ["dranet", "sriov"])
def test_netlink_and_devlink_that_answer_nonsense_cost_no_device(tmp_path, profile):
    made = connectx7(tmp_path)
    driver = made.driver(f"profile={profile}")
    before, _ = shown(driver)
    made.netlink.modes[PF] = "x" * 5000
    for name in ("ens1f0np0", "ens1f0v3"):
        made.netlink.change(
            name, mtu=-1, mac="", alias="\udcff" * 200, addresses=("?" * 100,), state="", encapsulation=""
        )
    found, _ = shown(made.driver(f"profile={profile}"))
    assert found.keys() == before.keys()
    same = {name for name in before if found[name] == before[name]}
    assert profile == "sriov" or same == before.keys() - {"pci-0000-3b-00-0", "pci-0000-3b-00-5"}


def test_a_port_that_is_pulled_takes_its_functions_with_it_and_brings_them_back(tmp_path):
    made = connectx7(tmp_path)
    driver = made.driver()
    before, _ = shown(driver)
    links = dict(made.netlink.known)
    places = {
        path: os.readlink(path)
        for folder in ("sys/bus/pci/devices", "sys/class/net", "sys/class/infiniband")
        for path in sorted((made.tree.root / folder).iterdir())
    }
    gone = [PF, *(f"0000:3b:0{(2 + one) // 8}.{(2 + one) % 8}" for one in range(16))]
    for address in gone:
        made.unplug(address)
    left, _ = shown(driver)
    assert list(left) == ["pci-0000-00-04-0", "pci-0000-3b-00-1"]
    assert left["pci-0000-3b-00-1"] == before["pci-0000-3b-00-1"]
    for path, target in places.items():
        if not path.is_symlink():
            path.symlink_to(target)
    made.netlink.known.update(links)
    assert shown(driver)[0] == before


def test_functions_that_the_administrator_makes_and_removes_are_seen(tmp_path):
    made = connectx7(tmp_path, 0)
    driver = made.driver()
    assert len(shown(driver)[0]) == 3
    add_functions(made, 4)
    assert len(shown(driver)[0]) == 7
    assert shown(driver)[1].counters
    made.unplug("0000:3b:00.5")
    assert len(shown(driver)[0]) == 6


def test_a_device_that_goes_between_allocation_and_prepare_is_named(tmp_path):
    made = connectx7(tmp_path)
    driver, node = made.driver(), Node(tmp_path)
    engine = node.engine(driver)
    made.unplug("0000:3b:00.5")
    with pytest.raises(PrepareError, match="pci-0000-3b-00-5: is not on this node any more"):
        engine.prepare(claim("u", [result("dra.net", "pci-0000-3b-00-5")]), "u")
    engine.prepare(claim("v", [result("dra.net", "pci-0000-3b-00-6")]), "v")
    for uid in "uv":
        engine.unprepare(uid)


def test_netlink_that_fails_at_a_prepare_is_named_and_the_next_one_works(tmp_path):
    made = connectx7(tmp_path)
    driver, node = made.driver(), Node(tmp_path)
    engine = node.engine(driver)
    made.netlink.errors["links"] = HardwareError("netlink: No buffer space available")
    with pytest.raises(PrepareError, match="No buffer space available"):
        engine.prepare(claim("u", [result("dra.net", "pci-0000-3b-00-1")]), "u")
    made.netlink.errors.clear()
    engine.prepare(claim("u", [result("dra.net", "pci-0000-3b-00-1")]), "u")
    engine.unprepare("u")


def test_a_state_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    made = connectx7(tmp_path)
    made.state.write_text("in the way")
    driver, node = made.driver(), Node(tmp_path)
    engine = node.engine(driver)
    before = dict(made.netlink.known)
    with pytest.raises(PrepareError, match=f"pci-0000-3b-00-1: {made.state}.*: Not a directory"):
        engine.prepare(claim("u", [result("dra.net", "pci-0000-3b-00-1")]), "u")
    assert made.netlink.known == before
    assert "pci-0000-3b-00-1" in shown(driver)[0]


def test_a_kernel_driver_that_may_not_be_unbound_is_named_and_the_claim_undone(tmp_path, monkeypatch):
    made = connectx7(tmp_path)
    driver, node = made.driver("profile=sriov"), Node(tmp_path)
    engine = node.engine(driver)
    write = LiveFiles.write

    def refuse(self, path, text):
        if path.endswith("/mlx5_core/unbind"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        write(self, path, text)

    monkeypatch.setattr(LiveFiles, "write", refuse)
    with pytest.raises(PrepareError, match=r"0000:3b:00.5: .*unbind: Permission denied"):
        engine.prepare(claim("u", [result(driver.name, "0000-3b-00-5")], [vf_config(driver="vfio-pci")]), "u")
    monkeypatch.setattr(LiveFiles, "write", write)
    with Rebinding(made):
        engine.prepare(claim("u", [result(driver.name, "0000-3b-00-5")], [vf_config(driver="vfio-pci")]), "u")
        engine.unprepare("u")


def test_one_device_that_cannot_be_undone_does_not_keep_the_others_of_a_claim(tmp_path):
    made = connectx7(tmp_path)
    driver, node = made.driver(), Node(tmp_path)
    engine = node.engine(driver)
    names = ("pci-0000-3b-00-5", "pci-0000-3b-00-6")
    configs = [opaque("dra.net", {"interface": {"name": f"net{number}"}}, f"r{number}") for number in range(2)]
    engine.prepare(claim("u", [result("dra.net", one, f"r{at}") for at, one in enumerate(names)], configs), "u")
    back = type(made.netlink).take_back

    def refuse(order):
        if "00-5" in order.name:
            raise HardwareError("netlink: Device or resource busy")
        return back(made.netlink, order)

    made.netlink.take_back = refuse
    with pytest.raises(PrepareError, match="pci-0000-3b-00-5: netlink: Device or resource busy"):
        engine.unprepare("u")
    assert [one.alias.rpartition(":")[2] for one in made.netlink.known.values() if one.alias] == ["pci-0000-3b-00-5"]
    del made.netlink.take_back
    engine.unprepare("u")
    assert not any(one.alias for one in made.netlink.known.values())


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"lldp": 7}', b'{"lldp": {"interface": [1, {"x": []}]}}', b"\xff"]
)
def test_lldp_that_makes_no_sense_costs_no_device(tmp_path, content):
    made = connectx7(tmp_path)
    file = tmp_path / "lldp.json"
    file.write_bytes(content)
    found, _ = shown(made.driver(f"lldp={file}"))
    assert len(found) == 19
    assert not any(b"lldpSwitch" in one for one in found.values())


def test_an_infiniband_port_that_recovers_is_healthy_again(tmp_path):
    made = infiniband(tmp_path)
    driver = made.driver()
    driver.discover()
    bridges = "0000:97:01.0/0000:98:00.0/0000:99:02.0"
    port = f"/sys/devices/pci0000:97/{bridges}/0000:9a:00.0/infiniband/mlx5_4/ports/1"
    for text, healthy in (("1: DOWN", False), ("4: ACTIVE", True), ("", True)):
        made.tree.file(f"{port}/state", text)
        assert (list(driver.health()) == []) is healthy
