"""Taints from health: at once, until a while after recovery, ever longer for what flaps, and for partitions, too."""

from __future__ import annotations

from fairlead.driver.author import Health, Pool
from fairlead.driver.health import Condition, HealthTracker, Hysteresis, by_taints, tainted
from fairlead.driver.inventory import make_inventory
from fairlead.resource import Device, DeviceTaint

NAMES = ("gpu-0", "part-a", "part-b", "gpu-1")
INVENTORY = make_inventory(
    Pool([Device(name=name) for name in NAMES], parts={"part-a": "gpu-0", "part-b": "gpu-0"}), "n"
)
TAINT = DeviceTaint(key="d.example.com/unhealthy", effect="NoSchedule")


def tracker() -> HealthTracker:
    return HealthTracker("d.example.com", "NoSchedule", "n", Hysteresis(first=10, last=80))


def bad(of: HealthTracker) -> set[str]:
    return {name for (_, name), one in of.conditions(INVENTORY).items() if one.taint is not None}


def test_devices_are_healthy_until_something_else_is_reported() -> None:
    assert set(tracker().conditions(INVENTORY).values()) == {Condition()}


def test_an_unhealthy_whole_makes_its_partitions_unhealthy() -> None:
    health = tracker()
    health.report([Health("gpu-0", False, "lost")], 0)
    assert bad(health) == {"gpu-0", "part-a", "part-b"}
    assert health.conditions(INVENTORY)["n", "part-b"] == Condition(False, "gpu-0: lost", TAINT)


def test_an_unhealthy_partition_makes_the_whole_unhealthy_and_not_its_siblings() -> None:
    health = tracker()
    health.report([Health("part-a", False, "ecc")], 0)
    assert bad(health) == {"gpu-0", "part-a"}


def test_recovery_takes_a_while_of_good_reports() -> None:
    health = tracker()
    health.report([Health("gpu-1", False)], 0)
    health.report([], 9)
    assert bad(health) == {"gpu-1"}
    health.report([Health("gpu-1", False)], 9.5)
    health.report([], 12)
    assert bad(health) == {"gpu-1"}
    health.report([Health("gpu-1", True)], 19.5)
    assert bad(health) == set()


def test_what_flaps_waits_longer_each_time_up_to_a_bound() -> None:
    health = tracker()
    now, waits = 0.0, []
    for _ in range(5):
        health.report([Health("gpu-1", False)], now)
        start = now
        while bad(health):
            now += 1
            health.report([], now)
        waits.append(now - start)
    assert waits == [10, 20, 40, 80, 80]
    now += 80
    health.report([], now)  # long enough without trouble: as if nothing had been
    health.report([Health("gpu-1", False)], now)
    health.report([], now + 10)
    assert bad(health) == set()


def test_cannot_tell_changes_no_taint() -> None:
    health = tracker()
    health.report([Health("gpu-1", None, "no answer")], 0)
    assert health.conditions(INVENTORY)["n", "gpu-1"] == Condition(None, "no answer")
    health.report([Health("gpu-1", False, "lost")], 1)
    health.report([Health("gpu-1", None, "no answer")], 500)
    assert health.conditions(INVENTORY)["n", "gpu-1"] == Condition(None, "no answer", TAINT)


def test_published_taints() -> None:
    own = DeviceTaint(key="d.example.com/xid", value="79", effect="NoExecute")
    health = tracker()
    health.report([Health("gpu-1", False, taint=own)], 0)
    (pool,) = tainted(INVENTORY.pools, health.conditions(INVENTORY))
    assert {device.name: device.taints for device in pool.devices if device.taints} == {"gpu-1": [own]}


def test_nodes_know_the_health_of_a_fabrics_devices_from_their_taints() -> None:
    returning = DeviceTaint(key="d.example.com/returning", effect="NoSchedule")
    devices = [Device(name="a", taints=[returning]), Device(name="b", taints=[returning, TAINT])]
    shared, local = Pool(devices, name="rack", reach="all nodes"), Pool([Device(name="c", taints=[TAINT])])
    inventory = make_inventory([shared, local], "n")
    health = tracker()
    health.report(by_taints("d.example.com", inventory.pools), 0)
    found = {key: (one.healthy, one.message) for key, one in health.conditions(inventory).items()}
    assert found == {
        ("rack", "a"): (True, ""),
        ("rack", "b"): (False, "has the taint d.example.com/unhealthy"),
        ("n", "c"): (True, ""),
    }
