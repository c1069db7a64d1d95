"""The hook on the real kernel: interfaces go into namespaces, are configured there, and come back as they were."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

import fairlead.drivers.network.hook as hook
from fairlead.drivers.network.hook import pins, rdma, work
from fairlead.drivers.network.hook.rtnetlink import Netlink
from fairlead.drivers.network.hook.work import Order, WorkError, remember, take_back, write_order
from fairlead.drivers.network.install import archive, install
from tests.drivers.network.kernel import Pod, call_hook, let_go, links, needs_kernel, shell


@pytest.fixture
def program(tmp_path):
    return install(tmp_path / "installed")


@pytest.fixture
def pod(tmp_path):
    made = Pod(tmp_path)
    yield made
    made.remove()


@pytest.fixture
def card(tmp_path):
    """An interface that stands for a card: with an MTU, an address and a route of its own."""
    name = f"fl{uuid.uuid4().hex[:8]}"
    shell(f"ip link add {name} type veth peer name {name}p")
    shell(f"ip link set {name} mtu 1400 up && ip link set {name}p up")
    # Of two routes to one place with the same metric the kernel takes one: other tests may run beside these.
    route = f"203.0.113.0/24 via 198.51.100.1 dev {name} metric {int(name[2:], 16)}"
    shell(f"ip addr add 198.51.100.5/24 dev {name} && ip route add {route}")
    yield name
    let_go(name)
    subprocess.run(["ip", "link", "del", f"{name}p"], capture_output=True)


def prepared(card, folder, **more):
    """What preparing does: the order, then the marker."""
    marker = f"dra:{uuid.uuid4()}:{card}"
    with Netlink() as here:
        link = here.named(card)
        order = Order(marker, card, remember(link, here), **more)
        path = folder / f"{card}.order"
        write_order(order, path)
        here.set(link.index, alias=marker)
    return path


def snapshot(card):
    link = links()[card]
    addresses = [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["scope"] == "global"]
    routes = shell(f"ip route show dev {card}").splitlines()
    up = "UP" in link["flags"]
    return link["mtu"], link["address"], link.get("ifalias"), addresses, [one.strip() for one in routes], up


def test_the_hook_is_the_standard_library_alone():
    for path in Path(hook.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_the_archive_is_the_same_each_time_and_installed_once(tmp_path):
    assert archive() == archive()
    first = install(tmp_path)
    stamp = first.stat().st_mtime_ns
    assert install(tmp_path) == first
    assert first.stat().st_mtime_ns == stamp


@needs_kernel()
def test_an_interface_is_moved_named_and_configured(card, pod, program, tmp_path):
    order = prepared(
        card,
        tmp_path,
        name="net1",
        mtu=1300,
        mac="02:00:00:00:00:05",
        addresses=["192.168.7.2/24", "fd00:7::2/64"],
        routes=[
            {"destination": "172.16.0.0/12", "gateway": "192.168.7.1"},
            {"destination": "192.168.50.0/24", "scope": 253},
            {"destination": "fd00:8::/64", "gateway": "fd00:7::1"},
            {"destination": "192.168.60.0/24", "table": 1000, "scope": 253},
        ],
        rules=[{"source": "192.168.7.2/32", "table": 1000, "priority": 50}],
        neighbors=[{"destination": "192.168.7.9", "hardwareAddr": "02:00:00:00:00:09"}],
        sysctls={"ipv4/conf/%/forwarding": "1"},
        sizes={"41": 32768},
    )
    done = call_hook(program, order, pod.state)
    assert (done.returncode, done.stderr) == (0, "")
    assert card not in links()
    link = pod.links()["net1"]
    assert (link["mtu"], link["address"], "UP" in link["flags"]) == (1300, "02:00:00:00:00:05", True)
    assert link["gso_max_size"] == 32768
    addresses = {f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["scope"] == "global"}
    assert addresses == {"192.168.7.2/24", "fd00:7::2/64"}
    routes = pod.run("ip route")
    assert "172.16.0.0/12 via 192.168.7.1 dev net1" in routes
    assert "192.168.50.0/24 dev net1" in routes
    assert "fd00:8::/64 via fd00:7::1 dev net1" in pod.run("ip -6 route")
    assert "192.168.60.0/24 dev net1" in pod.run("ip route show table 1000")
    assert "from 192.168.7.2 lookup 1000" in pod.run("ip rule")
    assert "192.168.7.9 dev net1 lladdr 02:00:00:00:00:09 PERMANENT" in pod.run("ip neigh")
    assert pod.run("cat /proc/sys/net/ipv4/conf/net1/forwarding").strip() == "1"


@needs_kernel()
def test_it_comes_back_as_it_was(card, pod, program, tmp_path):
    before = snapshot(card)
    order = prepared(card, tmp_path, name="net1", mtu=1300, mac="02:00:00:00:00:05", addresses=["192.168.7.2/24"])
    assert call_hook(program, order, pod.state).returncode == 0
    assert take_back(order) == card
    assert snapshot(card) == before
    assert "net1" not in pod.links()
    assert take_back(order) in ("", card), "once more changes nothing"
    assert snapshot(card) == before


@needs_kernel()
def test_a_second_container_and_a_restart_find_it_in_place(card, pod, program, tmp_path):
    order = prepared(card, tmp_path, name="net1", addresses=["192.168.7.2/24"])
    for _ in range(3):
        done = call_hook(program, order, pod.state)
        assert (done.returncode, done.stderr) == (0, "")
    assert [name for name in pod.links() if name != "lo"] == ["net1"]


@needs_kernel()
def test_names_with_a_number_are_counted_in_the_pod(card, pod, program, tmp_path):
    pod.run("ip link add vfnet0 type veth")
    order = prepared(card, tmp_path, name="vfnet%d")
    assert call_hook(program, order, pod.state).returncode == 0
    assert "vfnet1" in pod.links()


@needs_kernel()
def test_a_name_that_the_pod_has_is_an_error_that_moves_nothing(card, pod, program, tmp_path):
    before = snapshot(card)
    pod.run("ip link add net1 type veth")
    order = prepared(card, tmp_path, name="net1")
    done = call_hook(program, order, pod.state)
    assert done.returncode == 1
    assert f"{card}: the pod has an interface net1 already" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert call_hook(program, order, pod.state).returncode == 1, "and stays one"
    assert take_back(order) == card
    assert snapshot(card) == before


@needs_kernel()
def test_an_address_that_the_kernel_refuses_is_named_and_undone(card, pod, program, tmp_path):
    before = snapshot(card)
    order = prepared(card, tmp_path, mtu=100000000)
    done = call_hook(program, order, pod.state)
    assert (done.returncode, card in done.stderr, "Invalid argument" in done.stderr) == (1, True, True)
    assert take_back(order) == card
    assert snapshot(card) == before


@needs_kernel()
def test_a_name_that_the_node_has_given_away_is_not_taken_from_it(card, pod, program, tmp_path):
    order = prepared(card, tmp_path, name="net1")
    assert call_hook(program, order, pod.state).returncode == 0
    shell(f"ip link add {card} type ifb")
    try:
        name = take_back(order)
        assert name not in ("", card)
        shell(f"ip link del {name}")
    finally:
        shell(f"ip link del {card}")


@needs_kernel()
def test_a_pod_in_the_network_of_the_node_has_it_already(card, program, tmp_path):
    order = prepared(card, tmp_path, name="net1")
    state = f'{{"pid": {os.getpid()}, "bundle": "{tmp_path}"}}'
    assert call_hook(program, order, state).returncode == 0
    assert card in links()
    assert take_back(order) == card


@needs_kernel()
def test_the_namespace_is_found_when_its_first_process_is_gone(card, program, tmp_path):
    before = snapshot(card)
    pod = Pod(tmp_path, named=True)
    try:
        order = prepared(card, tmp_path, name="net1")
        assert call_hook(program, order, pod.state).returncode == 0
        pod.stop()
        assert take_back(order) == card
        assert snapshot(card) == before
    finally:
        pod.remove()


@needs_kernel()
@pytest.mark.parametrize("named", [False, True])
def test_what_the_kernel_would_end_with_the_namespace_is_kept(card, program, tmp_path, named):
    # Hardware comes back by itself; kubelet ends the sandbox of veth and its like before it has the claim undone.
    before = snapshot(card)
    pod = Pod(tmp_path, named=named)
    order = prepared(card, tmp_path, name="net1", mtu=1300)
    assert call_hook(program, order, pod.state).returncode == 0
    pod.remove()
    assert take_back(order) == card
    assert snapshot(card) == before
    assert list(pins.FOLDER.glob(f"*{card}")) == []


@needs_kernel()
@pytest.mark.parametrize("ended", [False, True])
def test_the_next_sandbox_of_a_pod_takes_it_over(card, program, tmp_path, ended):
    before = snapshot(card)
    first, second = Pod(tmp_path), Pod(tmp_path)
    try:
        order = prepared(card, tmp_path, name="net1", mtu=1300, addresses=["192.168.7.2/24"])
        assert call_hook(program, order, first.state).returncode == 0
        if ended:
            first.remove()
        done = call_hook(program, order, second.state)
        assert (done.returncode, done.stderr) == (0, "")
        link = second.links()["net1"]
        assert (link["mtu"], link["addr_info"][0]["local"]) == (1300, "192.168.7.2")
        second.remove()
        assert take_back(order) == card
        assert snapshot(card) == before
    finally:
        first.remove()
        second.remove()


@needs_kernel()
def test_a_child_is_taken_over_by_the_next_sandbox_and_ends_with_the_claim(card, program, tmp_path):
    marker = f"dra:{uuid.uuid4()}:{card}@1"
    path = tmp_path / "child.order"
    write_order(Order(marker, card, None, "net1"), path)
    with Netlink() as here:
        here.add_macvlan(here.named(card).index, marker)
    for pod in (Pod(tmp_path), Pod(tmp_path)):
        assert call_hook(program, path, pod.state).returncode == 0
        assert pod.links()["net1"]["linkinfo"]["info_kind"] == "macvlan"
        pod.remove()
    assert take_back(path) == ""
    with Netlink() as here:
        assert here.aliased(marker) is None
    assert list(pins.FOLDER.glob(f"*{card}*")) == []


@needs_kernel()
def test_hardware_that_a_new_sandbox_wants_is_waited_for(card, pod, program, tmp_path):
    # The sandbox before it has ended, and the kernel is about to return the card.
    order = prepared(card, tmp_path, name="net1")
    Path(f"{order}.where").write_text('{"namespace": "", "process": 4194304, "inode": 1}')
    marker = links()[card]["ifalias"]
    shell(f"ip link set {card} alias ''")
    with subprocess.Popen(["sh", "-c", f"sleep 0.3; ip link set {card} alias '{marker}'"]):
        assert call_hook(program, order, pod.state).returncode == 0
    assert "net1" in pod.links()


@needs_kernel()
def test_a_namespace_that_cannot_be_entered_keeps_the_claim(card, tmp_path):
    # As in a driver's pod without hostPID whose folder shows no mounts of the node.
    order = prepared(card, tmp_path, name="net1")
    marker = work.read_order(order).marker
    with Netlink() as here:
        here.set(here.named(card).index, alias="")
    pins.FOLDER.mkdir(exist_ok=True)
    place = pins.places(marker)[0]
    place.touch()
    Path(f"{order}.where").write_text('{"namespace": "", "process": 4194304, "inode": 1}')
    with pytest.raises(WorkError, match=f"kept as {place}, which cannot be entered from here"):
        take_back(order)
    place.unlink()
    assert take_back(order, patience=0.1) == ""


@needs_kernel()
def test_a_pin_is_removed_where_others_have_mounted_it(card, pod):
    # As a driver in a pod does, which sees the file, and not the node's mount on it.
    marker = f"dra:{uuid.uuid4()}:{card}"
    script = (
        f"from fairlead.drivers.network.hook import pins; n = open({pod.place!r}); pins.pin({marker!r}, n.fileno())"
    )
    place = pins.places(marker)[0]
    pins.FOLDER.mkdir(exist_ok=True)
    other = "mount --make-rprivate / && echo ready && exec sleep 60"
    with subprocess.Popen(["unshare", "-m", "sh", "-c", other], stdout=subprocess.PIPE, text=True) as elsewhere:
        assert elsewhere.stdout.readline() == "ready\n"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(one for one in sys.path if one)}
        enter = ["nsenter", f"--target={elsewhere.pid}", "--mount"]
        subprocess.run([*enter, sys.executable, "-c", script], check=True, env=environment)
        assert pins.hidden(marker) == place
        pins.unpin(marker)
        assert not place.exists()
        mounts = subprocess.run([*enter, "cat", "/proc/self/mounts"], capture_output=True, text=True, check=True)
        assert place.name not in mounts.stdout
        elsewhere.kill()


@needs_kernel()
def test_hardware_that_the_kernel_returns_is_waited_for_and_restored(card, tmp_path):
    # As after the end of a namespace: it is on the node, later, under another name and without its settings.
    before = snapshot(card)
    order = prepared(card, tmp_path, name="net1")
    made = work.read_order(order)
    write_order(replace(made, before=replace(made.before, kind="")), order)
    Path(f"{order}.where").write_text('{"namespace": "", "process": 4194304, "inode": 1}')
    other = f"dev{card[2:6]}"
    shell(f"ip link set {card} down && ip addr flush dev {card} && ip link set {card} name {other} mtu 1500")
    marker = links()[other]["ifalias"]
    shell(f"ip link set {other} alias ''")
    child = subprocess.Popen(["sh", "-c", f"sleep 0.3; ip link set {other} alias '{marker}'"])
    assert take_back(order, patience=20) == card
    child.wait()
    assert snapshot(card) == before


@needs_kernel()
def test_a_child_of_an_interface_ends_with_the_claim(card, pod, program, tmp_path):
    marker = f"dra:{uuid.uuid4()}:{card}@1"
    path = tmp_path / "child.order"
    write_order(Order(marker, card, None, "net1", addresses=["192.168.7.3/24"]), path)
    with Netlink() as here:
        parent = here.named(card)
        here.add_macvlan(parent.index, marker)
        here.add_macvlan(parent.index, marker)
        assert len([one for one in here.links() if one.kind == "macvlan" and one.alias == marker]) == 1
    assert call_hook(program, path, pod.state).returncode == 0
    assert pod.links()["net1"]["linkinfo"]["info_kind"] == "macvlan"
    assert card in links()
    assert take_back(path) == ""
    assert "net1" not in pod.links()


@needs_kernel()
def test_a_child_that_never_moved_ends_as_well(card, tmp_path):
    marker = f"dra:{uuid.uuid4()}:{card}@1"
    path = tmp_path / "child.order"
    write_order(Order(marker, card, None, "net1"), path)
    with Netlink() as here:
        here.add_macvlan(here.named(card).index, marker)
    assert take_back(path) == ""
    with Netlink() as here:
        assert here.aliased(marker) is None


STEPS = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    from fairlead.drivers.network.hook import pins, rtnetlink, work
    at = [int(sys.argv[3])]
    ask = rtnetlink.ask
    def counted(channel, sequence, kind, body, flags):
        if flags & 0x300 != 0x300:
            at[0] -= 1
            if at[0] == 0 and sys.argv[4] == "before":
                os.kill(os.getpid(), signal.SIGKILL)
        answer = ask(channel, sequence, kind, body, flags)
        if flags & 0x300 != 0x300 and at[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    rtnetlink.ask = counted
    def step(act):
        def counting(*arguments):
            at[0] -= 1
            if at[0] == 0 and sys.argv[4] == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            act(*arguments)
            if at[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return counting
    pins.pin, pins.unpin = step(pins.pin), step(pins.unpin)
    if sys.argv[2] == "0":
        work.take_back(Path(sys.argv[1]))
    else:
        work.attach(Path(sys.argv[1]), int(sys.argv[2]))
""")


def _killed(order, process, at, moment):
    """Does the work in a process that is killed before or after its n-th change; whether it was."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(one for one in sys.path if one)}
    done = subprocess.run(
        [sys.executable, "-c", STEPS, str(order), str(process), str(at), moment], env=environment, capture_output=True
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode != 0


@needs_kernel()
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_between_any_two_changes_of_attaching_it_comes_back(card, pod, tmp_path, moment):
    before = snapshot(card)
    at = 1
    while True:
        order = prepared(card, tmp_path, name="net1", mtu=1300, mac="02:00:00:00:00:05", addresses=["192.168.7.2/24"])
        killed = _killed(order, pod.process.pid, at, moment)
        assert take_back(order) == card
        assert snapshot(card) == before, f"killed {moment} change {at}"
        Path(f"{order}.where").unlink(missing_ok=True)
        if not killed:
            break
        at += 1
    assert at > 5


@needs_kernel()
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_between_any_two_changes_of_taking_back_it_comes_back(card, pod, program, tmp_path, moment):
    before = snapshot(card)
    at = 1
    while True:
        order = prepared(card, tmp_path, name="net1", mtu=1300, mac="02:00:00:00:00:05", addresses=["192.168.7.2/24"])
        assert call_hook(program, order, pod.state).returncode == 0
        killed = _killed(order, 0, at, moment)
        take_back(order)
        assert snapshot(card) == before, f"killed {moment} change {at}"
        Path(f"{order}.where").unlink(missing_ok=True)
        if not killed:
            break
        at += 1
    assert at > 5


@needs_kernel()
def test_killed_while_attaching_the_next_start_completes_it(card, pod, program, tmp_path):
    order = prepared(card, tmp_path, name="net1", mtu=1300, addresses=["192.168.7.2/24"])
    assert _killed(order, pod.process.pid, 2, "after")
    assert call_hook(program, order, pod.state).returncode == 0
    link = pod.links()["net1"]
    assert (link["mtu"], link["addr_info"][0]["local"]) == (1300, "192.168.7.2")


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"pid": "x"}'])
def test_a_state_that_is_none_is_one_line(program, tmp_path, state):
    done = call_hook(program, tmp_path / "order", state)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "state on stdin" in done.stderr


def test_an_order_that_is_gone_or_damaged_is_one_line(program, tmp_path):
    order = tmp_path / "order"
    for content in (None, "{", "{}", '{"marker": "m", "device": "d", "before": {"x": 1}}'):
        if content is not None:
            order.write_text(content)
        done = call_hook(program, order, '{"pid": 1}')
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert str(order) in done.stderr


def test_fields_of_a_newer_driver_do_not_stop_an_older_hook(tmp_path):
    order = Order("m", "d", None, "net1")
    path = tmp_path / "order"
    write_order(order, path)
    path.write_text(path.read_text().replace('"marker"', '"later": 1, "marker"'))
    assert work.read_order(path) == order
    assert replace(order, bare=True).made is False


def test_the_message_that_moves_an_rdma_device():
    # nlattr: length 8, type 1 (DEV_INDEX), 3; length 8, type 68 (NET_NS_FD), 9
    assert rdma.setting(b"\x03\0\0\0", 9).hex() == "08000100030000000800440009000000"


@needs_kernel()
def test_an_rdma_device_that_is_about_to_return_is_waited_for(pod, tmp_path, monkeypatch):
    # This kernel has no RDMA: its answers are made up. The sandbox before this one has just ended.
    order = tmp_path / "order"
    write_order(Order("dra:u:d", "d", rdma="mlx5_3", bare=True), order)
    Path(f"{order}.where").write_text('{"namespace": "", "process": 4194304, "inode": 1}')
    answers = [False, False, True]
    monkeypatch.setattr(rdma, "move", lambda name, source, target: answers.pop(0))
    monkeypatch.setattr(rdma, "has", lambda name, namespace: False)
    work.attach(order, pod.process.pid)
    assert answers == []


@needs_kernel()
def test_an_rdma_device_that_is_in_the_pod_already_is_left_there(pod, tmp_path, monkeypatch):
    order = tmp_path / "order"
    write_order(Order("dra:u:d", "d", rdma="mlx5_3", bare=True), order)
    monkeypatch.setattr(rdma, "move", lambda name, source, target: False)
    monkeypatch.setattr(rdma, "has", lambda name, namespace: True)
    work.attach(order, pod.process.pid)


@needs_kernel()
def test_a_pod_does_not_start_without_its_rdma_device(pod, tmp_path, monkeypatch):
    order = tmp_path / "order"
    write_order(Order("dra:u:d", "d", rdma="mlx5_3", bare=True), order)
    monkeypatch.setattr(rdma, "move", lambda name, source, target: False)
    monkeypatch.setattr(rdma, "has", lambda name, namespace: False)
    with pytest.raises(WorkError, match="the RDMA device mlx5_3 is not on the node"):
        work.attach(order, pod.process.pid)


@needs_kernel()
def test_a_kernel_without_rdma_moves_none(pod):
    descriptor = os.open(f"/proc/{pod.process.pid}/ns/net", os.O_RDONLY)
    try:
        assert rdma.move("mlx5_0", None, descriptor) is False
    finally:
        os.close(descriptor)


def test_waiting_for_hardware_ends(tmp_path):
    order = tmp_path / "order"
    before = work.Before("eth9", 1500, "02:00:00:00:00:01")
    write_order(Order("dra:nobody", "eth9", before), order)
    Path(f"{order}.where").write_text('{"namespace": "", "process": 4194304, "inode": 1}')
    start = time.monotonic()
    assert take_back(order, patience=0.1) == ""
    assert time.monotonic() >= start + 0.1
