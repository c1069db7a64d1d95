"""Images without a registry: every blob is where its digest says, from the index down to the program."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from kube.images import write_image


def test_an_image_holds_its_program_and_says_so(tmp_path: Path) -> None:
    program, archive = tmp_path / "program", tmp_path / "image.tar"
    program.write_bytes(b"a static program")
    write_image(archive, "localhost/guest:1", program, ["pause"])
    with tarfile.open(archive) as opened:
        files = {one.name: opened.extractfile(one).read() for one in opened}  # type: ignore[union-attr]

    def blob(entry: dict[str, Any]) -> bytes:
        data = files[f"blobs/{entry['digest'].replace(':', '/')}"]
        assert len(data) == entry["size"]
        assert entry["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
        return data

    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"] == {"io.containerd.image.name": "localhost/guest:1"}
    manifest = json.loads(blob(entry))
    config = json.loads(blob(manifest["config"]))
    (layer,) = manifest["layers"]
    assert config["config"] == {"Entrypoint": ["/guest"], "Cmd": ["pause"]}
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    with tarfile.open(fileobj=io.BytesIO(blob(layer))) as opened:
        (inside,) = opened.getmembers()
        assert (inside.name, inside.mode) == ("guest", 0o755)
        assert opened.extractfile(inside).read() == b"a static program"  # type: ignore[union-attr]
