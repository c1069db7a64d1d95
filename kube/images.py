"""Container images without a registry: an archive in OCI's image layout, of one static program.

Source: OCI image-spec, image-layout.md, manifest.md and config.md. `ctr images import` takes the archive, and names the
image by the annotation `io.containerd.image.name`.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Sequence
from pathlib import Path

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_TYPE = "application/vnd.oci.image.{}.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def write_image(archive: Path, name: str, program: Path, command: Sequence[str]) -> None:
    """Writes an image's archive.

    Args:
        archive: the file to write.
        name: of the image, with registry and tag, such as `localhost/guest:1`.
        program: a static program; it is the image's only file and its entry point, as `/guest`.
        command: its arguments where a container gives none.
    """
    architecture = _MACHINES.get(platform.machine(), platform.machine())
    layer = _tar({"guest": program.read_bytes()}, mode=0o755)
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/guest"], "Cmd": [*command]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    blobs: dict[str, bytes] = {}
    manifest = {
        "schemaVersion": 2,
        "mediaType": _TYPE.format("manifest"),
        "config": _blob(blobs, _TYPE.format("config"), json.dumps(config).encode()),
        "layers": [_blob(blobs, _LAYER, layer)],
    }
    entry = _blob(blobs, _TYPE.format("manifest"), json.dumps(manifest).encode())
    entry |= {
        "annotations": {"io.containerd.image.name": name},
        "platform": {"os": "linux", "architecture": architecture},
    }
    index = {"schemaVersion": 2, "mediaType": _TYPE.format("index"), "manifests": [entry]}
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode(), **blobs}
    archive.write_bytes(_tar(files, mode=0o644))


def _blob(blobs: dict[str, bytes], media_type: str, data: bytes) -> dict[str, object]:
    digest = _digest(data)
    blobs[f"blobs/{digest.replace(':', '/')}"] = data
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()
