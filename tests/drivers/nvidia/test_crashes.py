"""The process may end before or after any change: the next start undoes what was done, and nothing else.

One claim that needs everything: two instances, time slices, MPS daemons. An instance of somebody else stands beside
and must stay. Every change that the driver makes is a place to die, in preparing and in unpreparing.
"""

from __future__ import annotations

import pytest

from fairlead.driver import PrepareError
from fairlead.hardware import HardwareError
from tests.drivers.nvidia import machines
from tests.drivers.nvidia.machines import Node, claim

CHANGES = {
    "nvml": ("set_mig", "create", "destroy", "set_exclusive"),
    "host": ("note", "forget", "set_time_slice", "serve", "stop_serving"),
}
DEVICES = ("gpu-0-mig-1g10gb-19-6", "gpu-0-mig-2g20gb-14-2", "gpu-1", "gpu-2", "gpu-3")
FOREIGN = "0000:df:00.0"
STEPS = 18


class _EndOfProcessError(BaseException):
    """Nothing of ours catches it."""


class Countdown:
    """Ends the process, or fails, at the n-th change: before it, or after it."""

    def __init__(self, box, at: int, moment: str, error: BaseException) -> None:
        self.left = at
        self.fired = False
        for door, names in CHANGES.items():
            for name in names:
                self._wrap(getattr(box, door), name, moment, error)

    def _wrap(self, door, name, moment, error):
        change = getattr(door, name)

        def counted(*arguments):
            self.left -= 1
            if self.left != 0:
                return change(*arguments)
            self.fired = True
            if moment == "after":
                change(*arguments)
            raise error

        setattr(door, name, counted)


def whole_claim():
    def of(strategy, kind, **more):
        return {"kind": kind, "sharing": {"strategy": strategy, **more}}

    return claim(
        "u",
        *DEVICES,
        config=[
            of("MPS", "MigDeviceConfig"),
            of("TimeSlicing", "GpuConfig", timeSlicingConfig={"interval": "Long"}),
            of("MPS", "GpuConfig") | {"requests": ["r4"]},
        ],
    )


def unwrap(box):
    for door, names in CHANGES.items():
        for name in names:
            vars(getattr(box, door)).pop(name, None)


def clean(box):
    """Whether nothing of the claim is left."""
    slices = {}
    serving = set()
    for call in box.host.calls:
        if call[0] == "set_time_slice":
            slices[call[1]] = call[2]
        elif call[0] == "serve":
            serving.add(call[1])
        else:
            serving.discard(call[1])
    assert not any(slices.values())
    assert not serving
    assert not any(card.exclusive for card in box.nvml.gpus.values())
    assert [one.start for address in box.addresses() for one in box.nvml.instances(address)] == [4]
    assert box.host.written == {}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", range(1, STEPS + 1))
def test_the_process_ends_at_any_change(tmp_path, at, moment):
    box, node = machines.h100(tmp_path / "tree"), Node(tmp_path / "node")
    box.nvml.make(FOREIGN, "2g.20gb", 4)
    engine = node.engine(box.driver("mig=dynamic"))
    countdown = Countdown(box, at, moment, _EndOfProcessError())
    try:
        engine.prepare(whole_claim(), "u")
        engine.unprepare("u")
    except _EndOfProcessError:
        pass
    assert countdown.fired == (at < STEPS), "STEPS is one more than there are changes"
    unwrap(box)
    again = node.engine(box.driver("mig=dynamic"))
    assert again.recover() == []
    if again.records():  # it was prepared to the end
        again.unprepare("u")
    clean(box)
    again.prepare(whole_claim(), "u")
    again.unprepare("u")
    clean(box)


@pytest.mark.parametrize("at", range(1, STEPS))
def test_any_change_can_fail(tmp_path, at):
    box, node = machines.h100(tmp_path / "tree"), Node(tmp_path / "node")
    box.nvml.make(FOREIGN, "2g.20gb", 4)
    engine = node.engine(box.driver("mig=dynamic"))
    Countdown(box, at, "before", HardwareError("it did not work", "999"))

    def both():
        engine.prepare(whole_claim(), "u")
        engine.unprepare("u")

    with pytest.raises(PrepareError, match="it did not work"):
        both()
    if engine.records():
        engine.unprepare("u")
    clean(box)
