"""MIG by nvidia-ml-py: profiles and instances of a GPU, made and destroyed, for the module and a GPU's handle.

Errors are the module's own; `optional` turns those into None that say that a GPU, or an older driver, lacks something.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from fairlead.drivers.nvidia.nvml import NOT_FOUND, Instance, Profile

_ABSENT: Final = frozenset({2, 3, 13, 25})
"""What NVML answers then: invalid, not supported, no such function, another version of a struct."""
_COMPUTE_PROFILES: Final = {1: 0, 2: 1, 3: 2, 4: 3, 7: 4, 8: 5, 6: 6}
"""Compute slices of a GPU instance to the profile of the compute instance that takes them all."""


def optional(nvml: Any, ask: Callable[..., Any], *arguments: Any) -> Any:
    """What a function answers; None where the GPU has no such thing."""
    try:
        return ask(*arguments)
    except nvml.NVMLError as error:
        if error.value in _ABSENT:
            return None
        raise


def text(value: Any) -> str:
    """NVML's text, which the module gives as bytes inside of structs."""
    return value.decode() if isinstance(value, bytes) else str(value)


def profiles(nvml: Any, handle: Any) -> Iterator[Profile]:
    """All that NVML knows for the GPU."""
    for info in _profiles(nvml, handle):
        places = optional(nvml, _places, nvml, handle, info.id)
        if places:
            yield Profile(
                number=info.id,
                name=text(info.name).removeprefix("MIG "),
                slices=info.sliceCount,
                multiprocessors=info.multiprocessorCount,
                copy_engines=info.copyEngineCount,
                decoders=info.decoderCount,
                encoders=info.encoderCount,
                jpeg_engines=info.jpegCount,
                ofa_engines=info.ofaCount,
                memory=info.memorySizeMB,
                size=places[0][1],
                starts=tuple(sorted(start for start, _ in places)),
            )


def instances(nvml: Any, handle: Any) -> list[Instance]:
    """Those of every profile; none where MIG mode is off."""
    modes = optional(nvml, nvml.nvmlDeviceGetMigMode, handle)
    if not modes or not modes[0]:
        return []
    found = []
    for info in _profiles(nvml, handle):
        most = (nvml.c_nvmlGpuInstance_t * max(int(info.instanceCount), 1))()
        count = ctypes.c_uint(len(most))
        nvml.nvmlDeviceGetGpuInstances(handle, info.id, most, ctypes.byref(count))
        found += [_instance(nvml, one, info.sliceCount) for one in most[: count.value]]
    return sorted(found, key=lambda one: one.number)


def create(nvml: Any, handle: Any, profile: int, start: int) -> Instance:
    """A GPU instance with a compute instance; it is taken back where the latter cannot be made."""
    info = next(one for one in _profiles(nvml, handle) if one.id == profile)
    size = next((size for begin, size in _places(nvml, handle, profile) if begin == start), 0)
    place = nvml.c_nvmlGpuInstancePlacement_t(start, size)
    made = nvml.nvmlDeviceCreateGpuInstanceWithPlacement(handle, profile, ctypes.byref(place))
    try:
        nvml.nvmlGpuInstanceCreateComputeInstance(made, _whole(nvml, made, info.sliceCount).id)
        return _instance(nvml, made, info.sliceCount)
    except nvml.NVMLError:
        with suppress(nvml.NVMLError):
            nvml.nvmlGpuInstanceDestroy(made)
        raise


def destroy(nvml: Any, handle: Any, number: int) -> None:
    """First the compute instances, then the GPU instance; nothing happens where it is not there."""
    try:
        found = optional(nvml, nvml.nvmlDeviceGetGpuInstanceById, handle, number)
    except nvml.NVMLError as error:
        if str(error.value) == NOT_FOUND:
            return
        raise
    if found is not None:
        for compute in _computes(nvml, found):
            nvml.nvmlComputeInstanceDestroy(compute)
        nvml.nvmlGpuInstanceDestroy(found)


def _profiles(nvml: Any, handle: Any) -> Iterator[Any]:
    for index in range(nvml.NVML_GPU_INSTANCE_PROFILE_COUNT):
        info = optional(nvml, nvml.nvmlDeviceGetGpuInstanceProfileInfo, handle, index)
        if info is not None:
            yield info


def _places(nvml: Any, handle: Any, profile: int) -> list[tuple[int, int]]:
    """Where instances of a profile can begin, and how many memory slices they take."""
    count = ctypes.c_uint(0)
    nvml.nvmlDeviceGetGpuInstancePossiblePlacements(handle, profile, None, ctypes.byref(count))
    places = (nvml.c_nvmlGpuInstancePlacement_t * max(count.value, 1))()
    nvml.nvmlDeviceGetGpuInstancePossiblePlacements(handle, profile, places, ctypes.byref(count))
    return [(place.start, place.size) for place in places[: count.value]]


def _whole(nvml: Any, instance: Any, slices: int) -> Any:
    """The profile of a compute instance that takes all of a GPU instance."""
    engines = nvml.NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED
    return nvml.nvmlGpuInstanceGetComputeInstanceProfileInfo(instance, _COMPUTE_PROFILES[slices], engines)


def _computes(nvml: Any, instance: Any) -> list[Any]:
    found = []
    ask, engines = nvml.nvmlGpuInstanceGetComputeInstanceProfileInfo, nvml.NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED
    for index in range(nvml.NVML_COMPUTE_INSTANCE_PROFILE_COUNT):
        info = optional(nvml, ask, instance, index, engines)
        if info is not None:
            most = (nvml.c_nvmlComputeInstance_t * max(int(info.instanceCount), 1))()
            count = ctypes.c_uint(len(most))
            nvml.nvmlGpuInstanceGetComputeInstances(instance, info.id, most, ctypes.byref(count))
            found += list(most[: count.value])
    return found


def _instance(nvml: Any, instance: Any, slices: int) -> Instance:
    info = nvml.nvmlGpuInstanceGetInfo(instance)
    computes = _computes(nvml, instance)
    number, uuid = None, ""
    if len(computes) == 1:
        compute = nvml.nvmlComputeInstanceGetInfo(computes[0])
        whole = optional(nvml, _whole, nvml, instance, slices)
        if whole is not None and whole.id == compute.profileId:
            number, uuid = int(compute.id), nvml.nvmlDeviceGetUUID(compute.device)
    place = info.placement
    return Instance(info.id, info.profileId, place.start, place.size, number, len(computes), uuid)
