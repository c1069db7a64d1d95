"""CDI files as a runtime reads them, and protocol buffers by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fairlead.conformance.cdi import find, is_qualified, read_folder
from fairlead.conformance.wire import WireError, decode, encode, inner, number, text

EDITS: dict[str, Any] = {"env": ["A=b"]}


def write(folder: Path, **spec: Any) -> None:
    given = {"cdiVersion": "0.3.0", "kind": "v.com/c", "devices": [{"name": "d", "containerEdits": EDITS}], **spec}
    (folder / "spec.json").write_text(json.dumps(given))


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({}, ""),
        ({"kind": "v.com"}, "kind: 'v.com' is not vendor/class"),
        ({"cdiVersion": "2.0"}, "cdiVersion: '2.0' is none of"),
        ({"devices": []}, "devices: there are none"),
        ({"devices": [{"name": "d", "containerEdits": {}}]}, "device d: has no edits"),
        ({"devices": [{"name": "-d", "containerEdits": EDITS}]}, "devices: '-d' is no name"),
        ({"devices": [{"name": "d", "containerEdits": {"env": ["A"]}}]}, "env: 'A' is not NAME=VALUE"),
        ({"devices": [{"name": "d", "containerEdits": {"devicenodes": []}}]}, "devicenodes: is not known"),
        ({"devices": [{"name": "d", "containerEdits": {"deviceNodes": [{"path": "dev/x"}]}}]}, "absolute path"),
        ({"devices": [{"name": "d", "containerEdits": {"mounts": [{"hostPath": 1}]}}]}, "Expected `str`"),
        ({"containerEdits": {"hooks": [{"hookName": "never", "path": "/x"}]}}, "containerEdits: hooks"),
    ],
)
def test_what_a_runtime_refuses(tmp_path: Path, spec: dict[str, Any], problem: str) -> None:
    write(tmp_path, **spec)
    (found,) = read_folder(tmp_path)
    assert problem in "; ".join(found.problems)
    assert bool(problem) == bool(found.problems)


def test_the_version_must_have_the_fields(tmp_path: Path) -> None:
    nodes = {"deviceNodes": [{"path": "/dev/x", "hostPath": "/dev/null"}]}
    write(tmp_path, devices=[{"name": "d", "containerEdits": nodes}])
    assert read_folder(tmp_path)[0].stated_too_low == "0.5.0"
    write(tmp_path, devices=[{"name": "d", "containerEdits": nodes}], cdiVersion="0.6.0")
    assert read_folder(tmp_path)[0].stated_too_low == ""


def test_devices_are_found_by_their_names(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.yaml").write_text(
        "{cdiVersion: 0.3.0, kind: w/c, devices: [{name: d, containerEdits: {env: [X=1]}}]}"
    )
    (tmp_path / "none.txt").write_text("")
    specs = read_folder(tmp_path)
    assert [one.path.name for one in specs] == ["broken.json", "other.yaml", "spec.json"]
    found = find(specs, "w/c=d")
    assert found is not None
    assert found[1] == {"env": ["X=1"]}
    assert find(specs, "v.com/c=e") is None


def test_qualified_names() -> None:
    assert is_qualified("k8s.gpu.example.com/claim=8e81e9ec-ba8b_0_gpu-0")
    for bad in ("gpu-0", "vendor/class", "vendor=d", "1vendor/class=d", "v/c=-d", "v/c=d=e"):
        assert not is_qualified(bad)


def test_messages_go_there_and_back() -> None:
    data = encode((1, "name"), (2, 300), (3, encode((1, "x"))), (3, encode((1, "y"))))
    message = decode(data)
    assert (text(message, 1), number(message, 2), [text(one, 1) for one in inner(message, 3)]) == (
        "name",
        300,
        ["x", "y"],
    )
    assert (text(message, 9), number(message, 9), inner(message, 9)) == ("", 0, [])
    assert number(decode(encode((1, (1 << 64) - 5))), 1) == -5


@pytest.mark.parametrize(
    "data", [b"\x0a\x05ab", b"\x08", b"\x0b", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data)
    with pytest.raises(WireError):
        text(decode(encode((1, 1))), 1)
