"""The health of cards: by what they show themselves, and by IBM's health checker, which is a real gRPC service here."""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor

import pytest

from fairlead.driver.health import HealthTracker, Hysteresis, tainted
from fairlead.driver.inventory import make_inventory
from fairlead.drivers.spyre import SpyreDriver
from fairlead.drivers.spyre.checker import LiveHealthChecker, decode
from fairlead.hardware import HardwareError, RecordedMachine, Recording, RecordingMachine
from tests.drivers.ibm import NODE
from tests.drivers.spyre.machines import CARDS, lose, place, space
from tests.drivers.spyre.machines import cards as make_cards
from tests.drivers.spyre.machines import with_virtual as make_virtual

FIRST = CARDS[0]


@pytest.fixture
def tree(tmp_path):
    return make_cards(tmp_path)


def told(driver):
    return [(one.device, one.healthy, one.message) for one in driver.health()]


def test_cards_that_answer_are_healthy_and_may_be_asked_before_discovery(tree):
    driver = SpyreDriver(tree.machine, NODE)
    assert told(driver) == []
    lose(tree, FIRST)
    assert told(driver) == [("0000-1a-00-0", False, f"{FIRST}: does not answer: its configuration space reads ff")]


def test_a_lost_card_is_told_and_comes_back(tree):
    driver = SpyreDriver(tree.machine, NODE)
    driver.discover()
    lose(tree, FIRST)
    assert [one[:2] for one in told(driver)] == [("0000-1a-00-0", False)]
    assert len(driver.discover().devices) == 8
    space(tree, place(tree, FIRST), 0x06A7)
    assert told(driver) == []


def test_a_card_without_a_driver_or_a_node_is_told(tree):
    driver = SpyreDriver(tree.machine, NODE)
    driver.discover()
    tree.remove(f"{place(tree, FIRST)}/driver")
    tree.remove("/dev/vfio/41")
    assert told(driver) == [
        ("0000-1a-00-0", False, f"{FIRST}: no kernel driver is bound to it"),
        ("0000-1c-00-0", False, "0000:1c:00.0: /dev/vfio/41: is not there: is the function bound to vfio-pci?"),
    ]
    assert len(driver.discover().devices) == 8


def test_a_card_that_has_gone_is_told_until_it_is_discovered(tree):
    driver = SpyreDriver(tree.machine, NODE)
    driver.discover()
    tree.remove(f"/sys/bus/pci/devices/{FIRST}")
    assert told(driver) == [("0000-1a-00-0", False, f"{FIRST}: is not there any more")]
    driver.discover()
    assert told(driver) == []


def test_the_revision_is_taken_from_the_kernel_where_the_space_is_not_shown(tree):
    driver = SpyreDriver(tree.machine, NODE)
    tree.remove(f"{place(tree, FIRST)}/config")
    assert told(driver) == []
    tree.file(f"{place(tree, FIRST)}/revision", "0xff")
    assert [one[:2] for one in told(driver)] == [("0000-1a-00-0", False)]


@pytest.mark.parametrize(("error", "healthy"), [("EACCES", None), ("EIO", False)])
def test_what_cannot_be_read_is_unknown_or_bad(tree, error, healthy):
    recording = Recording()
    SpyreDriver(RecordingMachine(tree.machine, recording), NODE).discover()
    recording.files[f"{place(tree, FIRST)}/config"].error = error
    (report,) = SpyreDriver(RecordedMachine(recording), NODE).health()
    assert (report.device, report.healthy) == ("0000-1a-00-0", healthy)
    assert f"{place(tree, FIRST)}/config" in report.message


def test_a_lost_card_taints_its_virtual_functions_and_no_others_and_recovers(tmp_path):
    tree = make_virtual(tmp_path)
    driver = SpyreDriver(tree.machine, NODE)
    inventory = make_inventory(driver.discover(), NODE)
    tracker = HealthTracker(driver.name, driver.unhealthy_effect, NODE, Hysteresis(10, 100))

    def taints(now):
        tracker.report(driver.health(), now)
        pools = tainted(inventory.pools, tracker.conditions(inventory))
        return {one.name: one.taints[0].key for pool in pools for one in pool.devices if one.taints}

    assert taints(0) == {}
    lose(tree, FIRST)
    assert taints(1) == {f"0000-1a-0{n // 8}-{n % 8}": "spyre.ibm.com/unhealthy" for n in range(9)}
    space(tree, place(tree, FIRST), 0x06A7)
    assert len(taints(5)) == 9
    assert taints(20) == {}


def message(**states):
    """A message of type Devices, by hand: address to state."""

    def field(number, data):
        return bytes([number << 3 | 2, len(data)]) + data

    made = b""
    for address, state in states.items():
        identity = field(1, address.encode())
        made += field(1, field(1, identity) + bytes([2 << 3, 2, 3 << 3, state, 4 << 3, 0x80, 0x01]))
    return made


@pytest.fixture
def checker():
    """A health checker: what is put into the queue is streamed to whoever listens; None ends the stream."""
    grpc = pytest.importorskip("grpc")
    said = queue.Queue()

    def stream(request, context):
        while (one := said.get()) is not None:
            yield one

    handler = grpc.method_handlers_generic_handler(
        "SpyreHealthService",
        {"RegisterForSpyreDevicesEvents": grpc.unary_stream_rpc_method_handler(stream)},
    )
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield f"localhost:{port}", said
    finally:
        said.put(None)
        server.stop(None)


def test_the_health_checker_is_heard(tree, checker):
    address, said = checker
    driver = SpyreDriver(tree.machine, NODE, checker=address)
    said.put(message(**{FIRST: 6, "0000:1c:00.0": 4, "0000:1d:00.0": 7}))
    assert told(driver) == [
        ("0000-1a-00-0", False, f"{FIRST}: the health checker says that it is in error"),
        ("0000-1d-00-0", False, "0000:1d:00.0: the health checker says that it was removed"),
    ]


def test_what_the_health_checker_said_is_in_a_recording(tree, checker):
    address, said = checker
    said.put(message(**{FIRST: 6}))
    recording = Recording()
    SpyreDriver(RecordingMachine(tree.machine, recording), NODE, checker=address).discover()
    again = SpyreDriver(RecordedMachine(recording), NODE, checker="anything")
    assert [one[:2] for one in told(again)] == [("0000-1a-00-0", False)]


def test_a_health_checker_that_is_not_there_leaves_health_unknown(tree):
    pytest.importorskip("grpc")
    lose(tree, FIRST)
    reports = told(SpyreDriver(tree.machine, NODE, checker="localhost:1"))
    assert reports[0][:2] == ("0000-1a-00-0", False)
    assert {one[1] for one in reports[1:]} == {None}
    assert reports[1][2].startswith("health checker at localhost:1: UNAVAILABLE: ")


def test_a_health_checker_that_answers_something_else_is_named(checker):
    address, said = checker
    said.put(b"\xff\xff")
    with pytest.raises(HardwareError, match=f"health checker at {address}: "):
        LiveHealthChecker(address).states()


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05a", b"\x08\x01", b"\xff", b"\x0b", b"\x0a\x02\x0a\x09"])
def test_messages_that_are_none_are_refused(data):
    with pytest.raises(ValueError, match=r"cut off|kind|a number where"):
        decode(data)


def test_messages_with_fields_that_nobody_knows_are_read():
    known = message(**{FIRST: 4})
    assert decode(known) == {FIRST: 4}
    assert decode(known + bytes([9 << 3 | 5]) + b"\0\0\0\0" + bytes([10 << 3 | 1]) + b"\0" * 8) == {FIRST: 4}
    assert decode(b"") == {}
