"""How drivers see a machine: files and the answers of its libraries, read live or from a recording.

A driver reads its hardware through a `Machine` and through nothing else: `Machine.files` is the machine's tree of
files (`/sys`, `/proc`, `/dev`), and `Machine.door` gives the one narrow interface to a library (NVML, netlink) that
the driver has declared as a `Door`. What discovery asks can so be recorded on one machine and answered on any other:
for support, and for tests on machines without the hardware (`recording`).

`pci` reads what all drivers need of a PCI function, with the standard attributes that Kubernetes names.
"""

from fairlead.hardware.attributes import attribute
from fairlead.hardware.doors import Door, HardwareError
from fairlead.hardware.files import Files, LiveFiles
from fairlead.hardware.machine import LiveMachine, Machine, RecordedMachine, RecordingMachine
from fairlead.hardware.pci import PciFunction, pci_function, pci_functions, standard_attributes
from fairlead.hardware.problems import Problems
from fairlead.hardware.recording import Recording, RecordingError, read_recording, write_recording

__all__ = [
    "Door",
    "Files",
    "HardwareError",
    "LiveFiles",
    "LiveMachine",
    "Machine",
    "PciFunction",
    "Problems",
    "RecordedMachine",
    "Recording",
    "RecordingError",
    "RecordingMachine",
    "attribute",
    "pci_function",
    "pci_functions",
    "read_recording",
    "standard_attributes",
    "write_recording",
]
