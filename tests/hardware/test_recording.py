"""What was read of one machine answers for it on another."""

from __future__ import annotations

from abc import abstractmethod

import msgspec
import pytest

from fairlead.hardware import (
    Door,
    HardwareError,
    Problems,
    RecordedMachine,
    Recording,
    RecordingError,
    RecordingMachine,
    pci_functions,
    read_recording,
    write_recording,
)
from tests.hardware.tree import Tree


class Sensor(msgspec.Struct, frozen=True):
    name: str
    degrees: int


class Thermometer(Door):
    door = "thermometer"

    @abstractmethod
    def sensors(self) -> list[Sensor]: ...

    @abstractmethod
    def offset(self, sensor: str, unit: str) -> float: ...

    def wait(self) -> str:
        return "nothing happens"


class RealThermometer(Thermometer):
    def sensors(self):
        return [Sensor("inlet", 20), Sensor("outlet", 45)]

    def offset(self, sensor, unit):
        if sensor == "outlet":
            raise HardwareError("outlet: firmware answered 0x13", "EFW")
        return 0.5

    def wait(self):
        return "an event"


@pytest.fixture(params=["m.yaml", "m.json"])
def recorded(request, tmp_path):
    """A machine, and the same from its recording, written to a file and read again."""

    def record(discover):
        tree = Tree(tmp_path / "root")
        tree.pci("0000:3b:00.0", vendor=0x15B3, device=0x1021, class_code=0x020000, driver="mlx5_core")
        tree.file("/sys/firmware", b"\xff\x00binary")
        tree.file("/sys/other", "never asked for")
        recording = Recording(machine="worker-1", taken="2026-11-24T00:00:00Z")
        discover(RecordingMachine(tree.machine, recording))
        write_recording(recording, tmp_path / request.param)
        return tree.machine, RecordedMachine(read_recording(tmp_path / request.param))

    return record


def test_discovery_from_a_recording_is_the_same(recorded):
    live, replayed = recorded(lambda machine: list(pci_functions(machine.files, Problems())))
    problems = Problems()
    assert list(pci_functions(replayed.files, problems)) == list(pci_functions(live.files, Problems()))
    assert not problems


def test_bytes_are_kept_and_what_was_not_asked_for_is_not(recorded):
    _, replayed = recorded(lambda machine: machine.files.read("/sys/firmware"))
    assert replayed.files.read("/sys/firmware") == b"\xff\x00binary"
    assert not replayed.files.exists("/sys/other")


def test_what_could_not_be_read_cannot_be_read_again(recorded):
    def discover(machine):
        with pytest.raises(IsADirectoryError):
            machine.files.read("/sys/bus")

    _, replayed = recorded(discover)
    with pytest.raises(IsADirectoryError):
        replayed.files.read("/sys/bus")


def test_nothing_is_written_while_recording_and_beside_the_recording_afterwards(recorded):
    def discover(machine):
        assert machine.files.exists("/sys/other")
        with pytest.raises(PermissionError):
            machine.files.put("/sys/other", "new")

    live, replayed = recorded(discover)
    assert live.files.text("/sys/other") == "never asked for"
    replayed.files.put("/sys/other", "new")
    assert replayed.files.text("/sys/other") == "new"


def test_doors_answer_as_they_did(recorded):
    def discover(machine):
        door = machine.door(Thermometer, RealThermometer)
        assert door.sensors()[1].degrees == 45
        assert door.offset("inlet", "K") == 0.5
        with pytest.raises(HardwareError):
            door.offset("outlet", "K")

    _, replayed = recorded(discover)
    door = replayed.door(Thermometer, RealThermometer)
    assert door.sensors() == [Sensor("inlet", 20), Sensor("outlet", 45)]
    assert door.offset("inlet", "K") == 0.5
    with pytest.raises(HardwareError, match="outlet: firmware answered 0x13") as caught:
        door.offset("outlet", "K")
    assert caught.value.code == "EFW"


def test_a_call_that_was_not_made_is_refused_and_events_do_not_happen(recorded):
    _, replayed = recorded(lambda machine: machine.door(Thermometer, RealThermometer).sensors())
    door = replayed.door(Thermometer, RealThermometer)
    with pytest.raises(HardwareError, match=r'thermometer: offset\("inlet", "C"\) is not in the recording'):
        door.offset("inlet", "C")
    assert door.wait() == "nothing happens"


def test_an_answer_of_another_form_is_refused(recorded):
    _, replayed = recorded(lambda machine: machine.door(Thermometer, RealThermometer).sensors())

    class Later(Thermometer):
        @abstractmethod
        def sensors(self) -> list[int]: ...  # type: ignore[override]

    with pytest.raises(HardwareError, match="recorded in another form"):
        replayed.door(Later, RealThermometer).sensors()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "is no recording"),
        ("files: 3", "is no recording"),
        ("version: 99", "has version 99, known are versions up to 1"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(tmp_path, text, reason):
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(RecordingError, match=reason):
        read_recording(path)
