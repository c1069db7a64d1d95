"""What a container needs of a GPU: device files by our own edits, the driver's libraries as nvidia-ctk names them.

A whole GPU is its device file and those that all GPUs have in common. An instance is, besides, two capability files,
whose numbers the kernel driver gives in /proc; they are made in the container by number, so they need not be in /dev.
`NVIDIA_VISIBLE_DEVICES=void` keeps NVIDIA's container runtime from adding GPUs on its own.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from fairlead.driver import DeviceNode, Edits, Hook, Mount, PrepareError
from fairlead.drivers.nvidia.nvml import Gpu, Instance
from fairlead.hardware import Files

_COMMON: Final = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
_OPTIONAL: Final = ("/dev/nvidia-modeset",)
_CAPABILITIES: Final = "/proc/driver/nvidia/capabilities"
_CAPS: Final = "nvidia-caps"
_ANYBODY: Final = 0o666


def gpu_edits(files: Files, gpu: Gpu) -> Edits:
    """A whole GPU.

    Raises:
        PrepareError: a device file is not there.
        OSError: /dev cannot be looked at.
    """
    paths = [*_COMMON, f"/dev/nvidia{gpu.minor}"]
    if missing := [path for path in paths if not files.exists(path)]:
        raise PrepareError(
            f"gpu-{gpu.minor}: {', '.join(missing)}: not there; `nvidia-modprobe -u -c {gpu.minor}` on the host makes "
            "the device files of the kernel driver"
        )
    paths += [path for path in _OPTIONAL if files.exists(path)]
    nodes = [DeviceNode(path=path, permissions="rw") for path in paths]
    return Edits(env={"NVIDIA_VISIBLE_DEVICES": "void"}, device_nodes=nodes)


def instance_edits(files: Files, gpu: Gpu, instance: Instance) -> Edits:
    """An instance of a GPU.

    Raises:
        PrepareError: a device file or a capability is not there.
        OSError: /dev or /proc cannot be looked at.
    """
    whole = gpu_edits(files, gpu)
    place = f"{_CAPABILITIES}/gpu{gpu.minor}/mig/gi{instance.number}"
    minors = [_minor(files, f"{place}/access"), _minor(files, f"{place}/ci{instance.compute}/access")]
    major = major_of(files, _CAPS)
    caps = [numbered(f"/dev/{_CAPS}/nvidia-cap{minor}", major, minor) for minor in minors]
    return msgspec.structs.replace(whole, device_nodes=[*whole.device_nodes, *caps])


def numbered(path: str, major: int, minor: int) -> DeviceNode:
    """A character device that the runtime makes from its numbers."""
    return DeviceNode(path=path, type="c", major=major, minor=minor, file_mode=_ANYBODY, permissions="rw")


def major_of(files: Files, name: str) -> int:
    """The major number of a kind of character devices.

    Raises:
        PrepareError: the kernel has none.
        OSError: /proc/devices cannot be read.
    """
    for line in files.text("/proc/devices").splitlines():
        if line.startswith("Block devices"):
            break
        number, _, found = line.strip().partition(" ")
        if found == name and number.isdecimal():
            return int(number)
    raise PrepareError(f"/proc/devices: has no {name}: the kernel driver has not registered it")


def library_edits(text: str) -> Edits:
    """The libraries, from what nvidia-ctk said; its device files are left out, for ours are there.

    Raises:
        ValueError: it cannot be understood.
    """
    try:
        return msgspec.convert(_known(msgspec.json.decode(text)), Edits)
    except (msgspec.MsgspecError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"nvidia-ctk cdi generate: containerEdits: {error}") from None


def joined(edits: Edits, more: Edits) -> Edits:
    """Both."""
    return msgspec.structs.replace(
        edits,
        env=edits.env | more.env,
        device_nodes=[*edits.device_nodes, *more.device_nodes],
        hooks=[*edits.hooks, *more.hooks],
        mounts=[*edits.mounts, *more.mounts],
        additional_gids=[*edits.additional_gids, *more.additional_gids],
    )


def served_edits(pipe: str, shared: str) -> Edits:
    """What a client of an MPS daemon needs."""
    options = ["rw", "nosuid", "nodev", "bind"]
    return Edits(
        env={"CUDA_MPS_PIPE_DIRECTORY": "/tmp/nvidia-mps"},
        mounts=[
            Mount(host_path=pipe, container_path="/tmp/nvidia-mps", options=options),
            Mount(host_path=shared, container_path="/dev/shm", options=options),
        ],
    )


def missing_mounts(files: Files, edits: Edits) -> list[str]:
    """What the edits mount and is not there any more, after an update of the kernel driver for instance."""
    return [mount.host_path for mount in edits.mounts if not files.exists(mount.host_path)]


def _known(raw: dict[str, Any]) -> dict[str, Any]:
    """CDI's containerEdits in the form of ours, which has the environment as a mapping."""
    value: dict[str, Any] = {name: raw[name] for name in ("mounts", "hooks", "additionalGids") if raw.get(name)}
    value["env"] = dict(one.split("=", 1) for one in raw.get("env") or ())
    # Decoded here for errors that name the part.
    value["mounts"] = msgspec.convert(value.get("mounts", []), list[Mount])
    value["hooks"] = msgspec.convert(value.get("hooks", []), list[Hook])
    return msgspec.to_builtins(value)  # type: ignore[no-any-return]


def _minor(files: Files, path: str) -> int:
    try:
        text = files.text(path)
    except FileNotFoundError:
        raise PrepareError(f"{path}: not there: the kernel driver does not know the instance") from None
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "DeviceFileMinor" and value.strip().isdecimal():
            return int(value)
    raise PrepareError(f"{path}: has no DeviceFileMinor")
