"""One device that cannot be published does not take the others with it."""

from __future__ import annotations

import pytest

from fairlead.driver import Driver, Pool
from fairlead.driver.discovery import Discovery
from fairlead.driver.inventory import DiscoveryError
from fairlead.driver.slices import Publication
from fairlead.resource import Counter, CounterSet, Device, DeviceAttribute, DeviceCounterConsumption, Quantity

OF = Publication("cards.example.com", "node-1", "uid", False)


class Cards(Driver):
    """Says what it is told to say."""

    name = "cards.example.com"

    def __init__(self, found):
        self.found = found

    def discover(self):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def prepare(self, claim):
        return []

    def unprepare(self, claim):
        """Nothing was changed."""


def look(found):
    told = []
    inventory = Discovery(Cards(found), OF, lambda event, **fields: told.append((event, fields))).look(())
    return inventory, told


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        (DeviceAttribute(string="x" * 65), "attributes[a]"),
        (DeviceAttribute(int_=1 << 63), "attributes[a]: 9223372036854775808 has more than 64 bits"),
        (DeviceAttribute(), "attributes[a]"),
    ],
)
def test_a_device_that_the_server_would_refuse_is_named_and_left_out(attribute, reason):
    bad = Device(name="b", attributes={"a": attribute})
    pool = Pool([Device(name="a"), bad, Device(name="c")], parts={"b": "a", "c": "a"}, problems=["x"])
    inventory, told = look(pool)
    assert [name for _, name in inventory.devices] == ["a", "c"]
    assert inventory.pools[0].parts == {"c": "a"}
    problems = [fields["problem"] for event, fields in told]
    assert problems[1] == "x"
    assert problems[0].startswith(f"b: cannot be published: {reason}")


def test_a_device_that_takes_of_counters_is_judged_with_them():
    taken = [DeviceCounterConsumption("s", {"n": Counter(Quantity.from_int(1))})]
    pool = Pool(
        [Device(name="a", consumes_counters=taken), Device(name="b_", consumes_counters=taken)],
        [CounterSet(name="s", counters={"n": Counter(Quantity.from_int(1))})],
    )
    inventory, _ = look(pool)
    assert [name for _, name in inventory.devices] == ["a"]


def test_what_is_wrong_with_all_is_the_discoverys_failure():
    with pytest.raises(DiscoveryError, match="must consist of lower case"):
        look(Pool([Device(name="A"), Device(name="B")]))


def test_what_the_machine_refuses_is_no_bug_of_the_driver():
    told = []
    denied = PermissionError(13, "Permission denied", "/sys/bus/pci/devices")
    with pytest.raises(DiscoveryError, match=r"Permission denied: '/sys/bus/pci/devices'"):
        Discovery(Cards(denied), OF, lambda event, **fields: told.append(event)).look(())
    assert told == []
