"""How much of one slice's devices is taken, kept up to date device by device.

Everything here is recomputed from `Holdings` for a device when a claim that names it changes; nothing is counted up
and down by hand except sums whose parts are recomputed the same way. Bits are those of the slice's record.
"""

from __future__ import annotations

from fairlead.inventory.holdings import Holdings
from fairlead.inventory.record import SliceRecord

CounterKey = tuple[str, str]
"""Counter set and counter."""


class Usage:
    """What is taken of the devices of one slice. Amounts in units of 10^-9."""

    __slots__ = ("_index", "consumed", "counters", "held", "record", "started")

    def __init__(self, record: SliceRecord, holdings: Holdings) -> None:
        self.record = record
        self.held = 0
        """Devices that a claim holds for itself."""
        self.started = 0
        """Devices of which shares are held: their counters are charged already."""
        self.counters: dict[CounterKey, int] = {}
        """Counters charged by the devices of this slice that are in use."""
        self.consumed: dict[int, dict[str, int]] = {}
        """Capacity that shares take, by device index."""
        self._index: dict[str, tuple[int, ...]] = {}
        """By name; the API server keeps names apart, but nothing here relies on it."""
        for index, device in enumerate(record.devices):
            self._index[device.name] = (*self._index.get(device.name, ()), index)
        for index in range(len(record.devices)):
            if holdings.in_use(record.device_id(index)):
                self._update(index, holdings)

    def update(self, device_name: str, holdings: Holdings) -> None:
        """Brings one device up to date; a device that the slice does not have is no error."""
        for index in self._index.get(device_name, ()):
            self._update(index, holdings)

    def _update(self, index: int, holdings: Holdings) -> None:
        bit = 1 << index
        device_id = self.record.device_id(index)
        was = (self.held | self.started) & bit
        started = device_id in holdings.shares or device_id in holdings.consumed
        held = device_id in holdings.exclusive
        if started and not self.record.devices[index].allow_multiple_allocations:
            # The driver no longer shares what it shared: nobody can have it for themselves while shares are held.
            started, held = False, True
        self.held = self.held | bit if held else self.held & ~bit
        self.started = self.started | bit if started else self.started & ~bit
        consumed = holdings.consumed.get(device_id)
        if consumed and started:
            self.consumed[index] = dict(consumed)
        else:
            self.consumed.pop(index, None)
        if bool(was) != (held or started):
            sign = -1 if was else 1
            for consumption in self.record.devices[index].consumes_counters:
                for name, counter in consumption.counters.items():
                    key = (consumption.counter_set, name)
                    self.counters[key] = self.counters.get(key, 0) + sign * counter.value.nano
