"""The host's side of a prepared function: its interface and RDMA nodes, once they are there.

A sub-function appears some time after it was activated on the side of the e-switch, and an interface comes back some
time after the network namespace of the pod that had it has gone. So both are waited for.
"""

from __future__ import annotations

import time
from typing import Final

from fairlead.driver import ClaimDevice, DeviceNode, Edits, NetDevice, PrepareError
from fairlead.drivers.bluefield.config import FunctionConfig
from fairlead.drivers.bluefield.discovery import RDMA_CM, Dpu, HostFunction, host_function
from fairlead.drivers.bluefield.functions import Function
from fairlead.hardware import Files

_VFIO: Final = "vfio-pci"
_POLL: Final = 0.05


def await_function(files: Files, dpu: Dpu, function: Function, seconds: float) -> HostFunction:
    """A function, as soon as a container could use it.

    Args:
        files: of the host.
        dpu: whose it is.
        function: which.
        seconds: how long to wait.

    Raises:
        PrepareError: it has not become usable.
        OSError: it cannot be read.
    """
    until = time.monotonic() + seconds
    while True:
        found = host_function(dpu, function, files)
        if found is not None and (found.interface or found.pci.driver == _VFIO):
            return found
        if time.monotonic() > until:
            break
        time.sleep(_POLL)
    if found is None:
        raise PrepareError(f"{function} of DPU {dpu.slot}: has not appeared on the host within {seconds:g} s")
    raise PrepareError(
        f"{function} of DPU {dpu.slot} ({found.pci.address}): has no interface on the host: its driver is "
        f"{found.pci.driver or 'none'}; or it is still in the network namespace of a pod"
    )


def edits_of(files: Files, device: ClaimDevice, found: HostFunction) -> tuple[Edits, str]:
    """What the container runtime does for a function, and the interface's name in the container."""
    config = device.config(FunctionConfig) or FunctionConfig()
    if found.pci.driver == _VFIO and found.function.kind != "sf":
        group = found.pci.iommu_group
        return Edits(device_nodes=[DeviceNode(path="/dev/vfio/vfio"), DeviceNode(path=f"/dev/vfio/{group}")]), ""
    name = config.interface or found.interface
    nodes = []
    if config.rdma:
        verbs = files.listed(f"{found.path}/infiniband_verbs")
        nodes = [DeviceNode(path=f"/dev/infiniband/{one}") for one in verbs]
        if verbs and files.exists(RDMA_CM):
            nodes.append(DeviceNode(path=RDMA_CM))
    return Edits(net_devices=[NetDevice(found.interface, name)], device_nodes=nodes), name


def mac_of(files: Files, found: HostFunction) -> str:
    """The hardware address of its interface; empty where it cannot be read."""
    try:
        return files.text(f"{found.path}/net/{found.interface}/address") if found.interface else ""
    except OSError:
        return ""
