"""Files that tell containers about their devices (KEP-5304): written beside the state, mounted by CDI.

A file a request holds the same object in each version of its API, newest first. In the container it stands below
`/var/run/kubernetes.io/dra-device-attributes`, at a path that is made of names a pod's author knows.

Source: `k8s.io/dynamic-resource-allocation` api/metadata 0.37 (paths, versions, fields).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from fairlead.driver.cdi import Edits, Mount
from fairlead.driver.files import Files, replace
from fairlead.driver.record import Record, RecordedDevice
from fairlead.resource import encode_hook

SUBFOLDER: Final = "dra-device-metadata"
_CONTAINER: Final = "/var/run/kubernetes.io/dra-device-attributes"
_VERSIONS: Final = ("v1beta1", "v1alpha1")


class MetadataFolder:
    """The metadata files of one driver."""

    def __init__(self, driver: str, folder: Path, files: Files | None = None) -> None:
        """Touches nothing yet.

        Args:
            driver: name of the driver.
            folder: of the driver, at the same path on the host: the runtime mounts from there.
            files: what touches the disk.
        """
        self._driver = driver
        self._root: Final = folder / SUBFOLDER
        self._files = files or Files()

    def write(self, record: Record) -> dict[str, Edits]:
        """Puts the files of a claim in place.

        Returns:
            for each request with metadata the mount of its file.

        Raises:
            OSError: one could not be written.
        """
        requests: dict[str, list[RecordedDevice]] = {}
        for device in record.devices:
            if device.attributes is not None:
                requests.setdefault(device.result.request.partition("/")[0], []).append(device)
        mounts = {}
        for request, devices in requests.items():
            folder = self._root / record.uid / request
            path = folder / f"{self._driver}-metadata.json"
            self._files.make_folder(folder)
            data = b"".join(_render(version, record, devices) for version in _VERSIONS)
            if not path.exists() or path.read_bytes() != data:
                replace(self._files, path, data)
            inside = f"{_CONTAINER}/{_claim_path(record)}/{request}/{path.name}"
            mounts[request] = Edits(mounts=[Mount(host_path=str(path), container_path=inside, options=["ro", "bind"])])
        return mounts

    def remove(self, uid: str) -> None:
        """Removes the files of a claim; nothing happens where there are none.

        Raises:
            OSError: one could not be removed.
        """
        folder = self._root / uid
        if not folder.is_dir():
            return
        for request in sorted(folder.iterdir()):
            for path in sorted(request.iterdir()):
                self._files.remove(path)
            self._files.remove_folder(request)
        self._files.remove_folder(folder)

    def sweep(self, known: set[str]) -> list[str]:
        """Removes the files of claims that are not among the known; the UIDs of those that went.

        Raises:
            OSError: one could not be removed.
        """
        gone = (
            [path.name for path in sorted(self._root.iterdir()) if path.name not in known]
            if self._root.is_dir()
            else []
        )
        for uid in gone:
            self.remove(uid)
        return gone


def _claim_path(record: Record) -> str:
    if record.pod_claim_name:
        return f"resourceclaimtemplates/{record.pod_claim_name}"
    return f"resourceclaims/{record.name}"


def _render(version: str, record: Record, devices: list[RecordedDevice]) -> bytes:
    shown: list[dict[str, Any]] = []
    for device in devices:
        result = device.result
        one: dict[str, Any] = {"driver": result.driver, "pool": result.pool, "name": result.device}
        if device.attributes:
            one["attributes"] = device.attributes
        if device.status is not None and device.status.network_data is not None:
            one["networkData"] = device.status.network_data
        shown.append(one)
    value: dict[str, Any] = {
        "apiVersion": f"metadata.resource.k8s.io/{version}",
        "kind": "DeviceMetadata",
        "metadata": {"name": record.name, "namespace": record.namespace, "uid": record.uid, "generation": 1},
    }
    if record.pod_claim_name:
        value["podClaimName"] = record.pod_claim_name
    value["requests"] = [{"name": devices[0].result.request, "devices": shown}]
    return msgspec.json.encode(value, enc_hook=encode_hook) + b"\n"
