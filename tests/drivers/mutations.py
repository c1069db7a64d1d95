"""Changes to a recorded machine, one at a time: what a broken kernel, a card's firmware or a rough hand leaves behind.

A recording is changed rather than a folder: thousands of machines a minute, and permissions and I/O errors that root,
as which tests run, cannot make.
"""

from __future__ import annotations

import copy
import errno
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from fairlead.driver import Driver, Pool
from fairlead.driver.inventory import make_inventory
from fairlead.driver.sifting import sift
from fairlead.driver.slices import Publication
from fairlead.hardware import Machine, RecordedMachine, Recording, RecordingMachine
from fairlead.hardware.doors import Answer
from fairlead.hardware.recording import Entry
from fairlead.resource import Device

NODE = "node-1"
TEXTS = {
    "empty": "",
    "white": " \n\t\n",
    "garbage": "\x00\x7f\ufffd}{%s",
    "words": "not a number",
    "negative": "-1",
    "greater than 64 bits": "99999999999999999999999",
    "hexadecimal": "0xffffffffffffffff",
    "very many digits": "9" * 20_000,
    "very long": "A:b,c-d " * 20_000,
    "many lines": "a : b\n" * 5_000,
    "a long list": "0-99999999999",
}
ERRORS = ("EACCES", "EIO", "EPERM", "ENODEV", "ENXIO", "EINVAL")
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1 << 31,
    1 << 63,
    1 << 70,
    0.5,
    "",
    "/",
    "0",
    "\ud7ff\x00",
    "x" * 500,
    [],
    {},
    [0],
    [-1, 99],
)
CODES = ("1", "2", "3", "4", "6", "9", "15", "16", "25", "28", "999", "")


@dataclass(frozen=True)
class Mutation:
    """One change: what it is called, where it is made, and the machine after it."""

    name: str
    place: str
    told: bool
    """Whether it is an error, which somebody must hear of where something depends on the place."""
    make: Callable[[Recording], Recording]

    def __str__(self) -> str:
        return f"{self.place}: {self.name}"


def recorded(make: Callable[[Machine], Driver], machine: Machine) -> Recording:
    """What a driver reads of a machine when it discovers and looks at health."""
    recording = Recording()
    driver = make(RecordingMachine(machine, recording))
    driver.discover()
    list(driver.health())
    return recording


def mutations(recording: Recording) -> Iterator[Mutation]:
    """All changes to files, and all errors of doors."""
    for path, entry in recording.files.items():
        yield Mutation("removed", path, False, lambda one, path=path: _without(one, path))
        yield Mutation("a folder", path, False, lambda one, path=path: _with(one, path, Entry("directory", names=[])))
        yield Mutation("a file", path, False, lambda one, path=path: _with(one, path, Entry("file", text="")))
        for target in ("/nowhere", path, "../..", ""):
            made = Entry("link", target=target)
            yield Mutation(
                f"a link to {target!r}", path, False, lambda one, path=path, made=made: _with(one, path, made)
            )
        for error in ERRORS:
            broken = replace(entry, error=error)
            told = error in ("EACCES", "EIO") and (entry.text is not None or entry.data is not None)
            yield Mutation(error, path, told, lambda one, path=path, made=broken: _with(one, path, made))
        if entry.kind == "file":
            for name, text in TEXTS.items():
                made = Entry("file", text=text)
                yield Mutation(name, path, False, lambda one, path=path, made=made: _with(one, path, made))
            made = Entry("file", data=bytes(range(256)) * 40)
            yield Mutation("bytes", path, False, lambda one, path=path, made=made: _with(one, path, made))
        if entry.kind == "directory":
            for name in ("", "x", "virtfn99999999999999999999", "cpu-1", "0000:zz:00.0", "node\udcff"):
                made = replace(entry, names=[*(entry.names or []), name])
                yield Mutation(f"has {name!r}", path, False, lambda one, path=path, made=made: _with(one, path, made))
    for door, answers in recording.doors.items():
        for call in answers:
            for code in CODES:
                answer = Answer(error=f"{call}: fails", code=code)
                yield Mutation(
                    f"error {code!r}", f"{door}.{call}", True, lambda one, a=(door, call, answer): _say(one, *a)
                )
            for value in (None, [], {}, "", -1, "x" * 500, [None], {"a": 1}):
                answer = Answer(value)
                yield Mutation(
                    f"says {value!r:.20}", f"{door}.{call}", False, lambda one, a=(door, call, answer): _say(one, *a)
                )


def nonsense(recording: Recording) -> Iterator[Mutation]:
    """Answers of the right form with wrong values, one value at a time: of doors, and of files that hold JSON."""
    for door, answers in recording.doors.items():
        for call, answer in answers.items():
            if answer.error is None:
                for name, value in _variants(answer.value):
                    made = (door, call, Answer(value))
                    yield Mutation(name, f"{door}.{call}", False, lambda one, a=made: _say(one, *a))
    for path, entry in recording.files.items():
        if path.endswith(".json") and entry.text is not None:
            for name, value in _variants(json.loads(entry.text)):
                made = Entry("file", text=json.dumps(value))
                yield Mutation(name, path, False, lambda one, path=path, made=made: _with(one, path, made))


def _variants(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The value with one part changed, and which."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield f"{place}.{key} is not there", {name: one for name, one in value.items() if name != key}
            for name, made in _variants(part, f"{place}.{key}"):
                yield name, value | {key: made}
    if isinstance(value, list):
        yield f"{place} twice", value + value
        for at, part in enumerate(value[:2]):
            for name, made in _variants(part, f"{place}[{at}]"):
                yield name, [*value[:at], made, *value[at + 1 :]]
    for other in VALUES:
        yield f"{place} is {other!r:.20}", other


def look(make: Callable[[Machine], Driver], recording: Recording) -> tuple[Pool, list[str]]:
    """What a driver finds, and all that it tells; AssertionError where that cannot be published."""
    driver = make(RecordedMachine(recording))
    list(driver.health())  # the kit asks before it discovers, too
    found = driver.discover()
    assert isinstance(found, Pool)
    of = Publication(driver.name, NODE, "uid", True)
    (found,), refused = sift(of, make_inventory(found, NODE).pools)
    assert refused == [], refused[:2]
    return found, [*found.problems, *(one.message for one in driver.health() if one.healthy is not True)]


def identity(device: Device) -> str:
    """The PCI address of a device, of its card where it is a virtual function; empty for none."""
    named = (device.attributes.get(name) for name in ("pfPciAddress", "resource.kubernetes.io/pciBusID"))
    return next((one.string for one in named if one is not None and one.string), "")


def families(devices: Iterable[Device]) -> dict[str, str]:
    """Each PCI address, with that of its card."""
    standard = "resource.kubernetes.io/pciBusID"
    return {str(one.attributes[standard].string): identity(one) for one in devices if standard in one.attributes}


def others(devices: Iterable[Device], place: str) -> dict[str, Device]:
    """The devices that do not depend on a place, if a device's address is in it; none where that is not so."""
    known = list(devices)
    families_ = families(known)
    hit = {card for address, card in families_.items() if address in place}
    return {one.name: one for one in known if identity(one) not in hit} if hit else {}


def _with(recording: Recording, path: str, entry: Entry) -> Recording:
    return replace(recording, files={**recording.files, path: entry})


def _without(recording: Recording, path: str) -> Recording:
    kept = {one: entry for one, entry in recording.files.items() if one != path and not one.startswith(path + "/")}
    above, _, name = path.rpartition("/")
    if (folder := kept.get(above)) is not None and name in (folder.names or ()):
        kept[above] = replace(folder, names=[one for one in folder.names or () if one != name])
    return replace(recording, files=kept)


def _say(recording: Recording, door: str, call: str, answer: Answer) -> Recording:
    doors = copy.copy(recording.doors)
    doors[door] = {**doors[door], call: answer}
    return replace(recording, doors=doors)


assert all(hasattr(errno, one) for one in ERRORS)
