"""The live door to NVML, by nvidia-ml-py (extra `nvidia`), which is imported at the first question.

NVML knows the GPUs of the moment in which it was initialised: when it does not know one that /sys shows, it is
initialised anew, once. Handles are asked for at each question, so nothing here outlives a lost GPU.
"""

from __future__ import annotations

import ctypes
import importlib
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from fairlead.drivers.nvidia import live_mig
from fairlead.drivers.nvidia.live_mig import optional, text
from fairlead.drivers.nvidia.nvml import NOT_FOUND, Condition, Event, Fabric, Gpu, Instance, Nvml, Profile, System
from fairlead.hardware import HardwareError

_RESTART: Final = frozenset({1, 9, 18})
"""Uninitialised, kernel driver not loaded, of another version: NVML has to be initialised anew."""
_WHOLE: Final = 0xFFFFFFFF
_ARCHITECTURES: Final = {
    2: "Kepler",
    3: "Maxwell",
    4: "Pascal",
    5: "Volta",
    6: "Turing",
    7: "Ampere",
    8: "Ada Lovelace",
    9: "Hopper",
    10: "Blackwell",
    13: "Rubin",
}
_BRANDS: Final = {
    1: "Quadro",
    2: "Tesla",
    3: "NVS",
    4: "Grid",
    5: "GeForce",
    6: "Titan",
    7: "NvidiaVApps",
    8: "NvidiaVPC",
    9: "NvidiaVCS",
    10: "NvidiaVWS",
    11: "NvidiaCloudGaming",
    12: "QuadroRTX",
    13: "NvidiaRTX",
    14: "Nvidia",
    15: "GeForceRTX",
    16: "TitanRTX",
}
_ADDRESSING: Final = {0: "None", 1: "HMM", 2: "ATS"}
_FABRIC: Final = {1: "not-started", 2: "in-progress", 3: "completed"}
_RECOVERY: Final = {
    0: "none",
    1: "reset",
    2: "reboot",
    3: "drain-p2p",
    4: "drain-and-reset",
    5: "recover-imex-domain",
    6: "bus-reset",
    7: "system-reboot",
}


class LiveNvml(Nvml):
    """The library of this machine."""

    def __init__(self, module: str = "pynvml") -> None:
        """Touches nothing yet.

        Args:
            module: of nvidia-ml-py.
        """
        self._name: Final = module
        self._module: Any = None
        self._lock: Final = threading.RLock()
        self._waiting: Final = threading.Lock()
        """Held while NVML waits for events, for it must not be shut down then; taken before `_lock`."""
        self._ready = False
        self._listening: tuple[Any, frozenset[str]] | None = None

    def system(self) -> System:
        """Asks the kernel driver."""
        with self._asking("NVML") as nvml:
            cuda = nvml.nvmlSystemGetCudaDriverVersion()
            return System(nvml.nvmlSystemGetDriverVersion(), f"{cuda // 1000}.{cuda % 1000 // 10}")

    def gpu(self, address: str) -> Gpu:
        """Asks for all that is published."""
        with self._device(address, again=True) as (nvml, handle):
            capability = nvml.nvmlDeviceGetCudaComputeCapability(handle)
            modes = optional(nvml, nvml.nvmlDeviceGetMigMode, handle)
            memory = optional(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
            addressing = optional(nvml, nvml.nvmlDeviceGetAddressingMode, handle)
            return Gpu(
                uuid=nvml.nvmlDeviceGetUUID(handle),
                minor=nvml.nvmlDeviceGetMinorNumber(handle),
                name=nvml.nvmlDeviceGetName(handle),
                brand=_BRANDS.get(nvml.nvmlDeviceGetBrand(handle), "Unknown"),
                architecture=_ARCHITECTURES.get(nvml.nvmlDeviceGetArchitecture(handle), "Unknown"),
                capability=f"{capability[0]}.{capability[1]}",
                memory=None if memory is None else memory.total,
                addressing="" if addressing is None else _ADDRESSING.get(addressing, ""),
                mig=None if modes is None else bool(modes[0]),
                mig_pending=None if modes is None else bool(modes[1]),
                module=optional(nvml, nvml.nvmlDeviceGetModuleId, handle, ctypes.c_uint()),
                nvlinks=_nvlinks(nvml, handle),
                fabric=_fabric(nvml, handle),
            )

    def profiles(self, address: str) -> list[Profile]:
        """All that NVML knows for the GPU."""
        with self._device(address) as (nvml, handle):
            return list(live_mig.profiles(nvml, handle))

    def instances(self, address: str) -> list[Instance]:
        """Those of every profile."""
        with self._device(address) as (nvml, handle):
            return live_mig.instances(nvml, handle)

    def condition(self, address: str) -> Condition:
        """Asks for what needs a reset, and for the fabric."""
        with self._device(address) as (nvml, handle):
            recovery = optional(nvml, _field, nvml, handle, nvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION)
            remapped = optional(nvml, nvml.nvmlDeviceGetRemappedRows, handle)
            retired = optional(nvml, nvml.nvmlDeviceGetRetiredPagesPendingStatus, handle)
            return Condition(
                recovery=None if recovery is None else _RECOVERY.get(recovery, f"action-{recovery}"),
                remap_failed=bool(remapped and remapped[3]),
                remap_pending=bool((remapped and remapped[2]) or retired),
                fabric=_fabric(nvml, handle),
            )

    def wait(self, addresses: list[str], seconds: float) -> list[Event] | None:
        """Waits in NVML; one event is enough to return."""
        with self._waiting:
            return self._wait(addresses, seconds)

    def _wait(self, addresses: list[str], seconds: float) -> list[Event] | None:
        listening = self._listen(addresses)
        if listening is None:
            return None
        nvml, events = listening
        try:
            data = nvml.nvmlEventSetWait_v2(events, int(seconds * 1000))
            address = text(nvml.nvmlDeviceGetPciInfo(data.device).busId)
        except nvml.NVMLError as error:
            if error.value != nvml.NVML_ERROR_TIMEOUT:
                self._unlisten()
                return None  # a lost GPU, for instance: what is wrong is found by asking for conditions
            return []
        if data.eventType != nvml.nvmlEventTypeXidCriticalError:
            return []
        instance = None if data.gpuInstanceId == _WHOLE else int(data.gpuInstanceId)
        return [Event(_short(address), int(data.eventData), instance)]

    def set_mig(self, address: str, on: bool) -> None:
        """Fails where the mode would only be pending, which is taken back."""
        with self._device(address) as (nvml, handle):
            status = nvml.nvmlDeviceSetMigMode(handle, int(on))
            current, pending = nvml.nvmlDeviceGetMigMode(handle)
            if status or current != int(on):
                reason = str(nvml.NVMLError(status or 999))
                if pending != current:
                    reason = "it takes a reset of the GPU"
                    nvml.nvmlDeviceSetMigMode(handle, current)  # so that the next reset changes nothing
                raise HardwareError(f"{address}: MIG mode could not be turned {'on' if on else 'off'}: {reason}")

    def create(self, address: str, profile: int, start: int) -> Instance:
        """Both instances, or none."""
        with self._device(address) as (nvml, handle):
            return live_mig.create(nvml, handle, profile, start)

    def destroy(self, address: str, instance: int) -> None:
        """Both."""
        with self._device(address) as (nvml, handle):
            live_mig.destroy(nvml, handle, instance)

    def set_exclusive(self, address: str, exclusive: bool) -> None:
        """Sets the compute mode."""
        with self._device(address) as (nvml, handle):
            mode = nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS if exclusive else nvml.NVML_COMPUTEMODE_DEFAULT
            nvml.nvmlDeviceSetComputeMode(handle, mode)

    @contextmanager
    def _asking(self, subject: str) -> Iterator[Any]:
        """The module, initialised; NVML's errors become ours."""
        nvml = self._start()
        try:
            yield nvml
        except nvml.NVMLError as error:
            if error.value in _RESTART:
                self._stop()
            raise HardwareError(f"{subject}: {error}", str(error.value)) from None

    @contextmanager
    def _device(self, address: str, again: bool = False) -> Iterator[tuple[Any, Any]]:
        """The module and a GPU's handle; one that is not known is looked for `again`, with NVML initialised anew."""
        with self._asking(address) as nvml:
            try:
                handle = nvml.nvmlDeviceGetHandleByPciBusId(address.encode())
            except nvml.NVMLError as error:
                if str(error.value) != NOT_FOUND or not again:
                    raise
                self._stop()
                self._start()
                handle = nvml.nvmlDeviceGetHandleByPciBusId(address.encode())
            yield nvml, handle

    def _start(self) -> Any:
        with self._lock:
            if self._module is None:
                try:
                    self._module = importlib.import_module(self._name)
                except ImportError as error:
                    raise HardwareError(f"NVML: {error}: install fairlead[nvidia]", "no-library") from None
            if not self._ready:
                try:
                    self._module.nvmlInit()
                except self._module.NVMLError as error:
                    raise HardwareError(f"NVML: {error}", str(error.value)) from None
                self._ready = True
            return self._module

    def _stop(self) -> None:
        with self._waiting, self._lock:
            self._unlisten()
            if self._ready:
                self._ready = False
                with suppress(self._module.NVMLError):
                    self._module.nvmlShutdown()

    def _listen(self, addresses: list[str]) -> tuple[Any, Any] | None:
        """A set of events in which all GPUs are that can be listened to."""
        with self._lock:
            if self._listening is not None and self._listening[1] == frozenset(addresses):
                return self._module, self._listening[0]
            self._unlisten()
            try:
                nvml = self._start()
                events = nvml.nvmlEventSetCreate()
            except HardwareError:
                return None
            except self._errors():
                return None
            heard = 0
            for address in addresses:
                with suppress(nvml.NVMLError):
                    handle = nvml.nvmlDeviceGetHandleByPciBusId(address.encode())
                    nvml.nvmlDeviceRegisterEvents(handle, nvml.nvmlEventTypeXidCriticalError, events)
                    heard += 1
            self._listening = (events, frozenset(addresses))
            if not heard:
                self._unlisten()
                return None
            return nvml, events

    def _unlisten(self) -> None:
        with self._lock:
            if self._listening is not None:
                events, self._listening = self._listening[0], None
                with suppress(*self._errors()):
                    self._module.nvmlEventSetFree(events)

    def _errors(self) -> tuple[type[Exception], ...]:
        return () if self._module is None else (self._module.NVMLError,)


def _nvlinks(nvml: Any, handle: Any) -> int:
    """How many are up."""
    links = range(nvml.NVML_NVLINK_MAX_LINKS)
    return sum(bool(optional(nvml, nvml.nvmlDeviceGetNvLinkState, handle, link)) for link in links)


def _fabric(nvml: Any, handle: Any) -> Fabric | None:
    """By the newest call that the driver has."""
    info = nvml.c_nvmlGpuFabricInfo_v3_t()
    if optional(nvml, nvml.nvmlDeviceGetGpuFabricInfoV, handle, ctypes.byref(info)) is None:
        info = nvml.c_nvmlGpuFabricInfo_t()
        if optional(nvml, nvml.nvmlDeviceGetGpuFabricInfo, handle, ctypes.byref(info)) is None:
            return None
    state = _FABRIC.get(info.state)
    if state is None:
        return None
    raw = bytes(info.clusterUuid)
    cluster = str(uuid.UUID(bytes=raw)) if any(raw) else ""
    unhealthy = getattr(info, "healthSummary", 0) == nvml.NVML_GPU_FABRIC_HEALTH_SUMMARY_UNHEALTHY
    return Fabric(state, int(info.status), cluster, int(info.cliqueId), not unhealthy)


def _field(nvml: Any, handle: Any, field: int) -> int:
    value = nvml.nvmlDeviceGetFieldValues(handle, [field])[0]
    if value.nvmlReturn:
        raise nvml.NVMLError(value.nvmlReturn)
    return int(value.value.uiVal)


def _short(address: str) -> str:
    """NVML writes PCI domains with eight digits, the kernel with four where that is enough."""
    domain, rest = address.lower().split(":", 1)
    return f"{domain[-4:] if domain.startswith('0000') else domain}:{rest}"
