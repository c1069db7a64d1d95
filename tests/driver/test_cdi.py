"""CDI files: lowest version, names, what a runtime would refuse, and whose files are removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fairlead.driver.cdi import (
    DeviceNode,
    Edits,
    EditsError,
    Hook,
    IntelRdt,
    Mount,
    NetDevice,
    SpecFolder,
    check,
    render,
    version,
)

ENV = Edits(env={"A": "1"})


@pytest.mark.parametrize(
    ("edits", "name", "lowest"),
    [
        (ENV, "gpu", "0.3.0"),
        (Edits(device_nodes=[DeviceNode(path="/dev/x")]), "gpu", "0.3.0"),
        (Edits(mounts=[Mount(host_path="/a", container_path="/b")]), "gpu", "0.3.0"),
        (Edits(mounts=[Mount(host_path="none", container_path="/b", type="tmpfs")]), "gpu", "0.4.0"),
        (Edits(device_nodes=[DeviceNode(path="/dev/x", host_path="/dev/y")]), "gpu", "0.5.0"),
        (ENV, "0gpu", "0.5.0"),
        (Edits(additional_gids=[44]), "gpu", "0.7.0"),
        (Edits(intel_rdt=IntelRdt(clos_id="one")), "gpu", "0.7.0"),
        (Edits(intel_rdt=IntelRdt(schemata=["L3:0=f"])), "gpu", "1.1.0"),
        (Edits(net_devices=[NetDevice(host_interface_name="eth1", name="net1")]), "gpu", "1.1.0"),
    ],
)
def test_the_lowest_version_that_has_the_fields(edits: Edits, name: str, lowest: str) -> None:
    assert version({"other": ENV, name: edits}) == lowest


def test_the_text_of_a_file() -> None:
    edits = Edits(
        env={"A": "1", "B": "x=y"},
        device_nodes=[DeviceNode(path="/dev/x", type="c", major=195, file_mode=0o666, permissions="rw", uid=0)],
        hooks=[Hook(hook_name="createContainer", path="/bin/hook", args=["hook", "a"], timeout=3)],
        mounts=[Mount(host_path="/a", container_path="/b", options=["ro", "bind"])],
        intel_rdt=IntelRdt(clos_id="c", l3_cache_schema="L3:0=f", mem_bw_schema="MB:0=70", enable_monitoring=True),
        net_devices=[NetDevice(host_interface_name="eth1", name="net1")],
        additional_gids=[44],
    )
    assert json.loads(render("k8s.gpu.example.com/claim", {"u_0_gpu": edits})) == {
        "cdiVersion": "1.1.0",
        "kind": "k8s.gpu.example.com/claim",
        "devices": [
            {
                "name": "u_0_gpu",
                "containerEdits": {
                    "env": ["A=1", "B=x=y"],
                    "deviceNodes": [
                        {"path": "/dev/x", "type": "c", "major": 195, "fileMode": 438, "permissions": "rw", "uid": 0}
                    ],
                    "hooks": [
                        {"hookName": "createContainer", "path": "/bin/hook", "args": ["hook", "a"], "timeout": 3}
                    ],
                    "mounts": [{"hostPath": "/a", "containerPath": "/b", "options": ["ro", "bind"]}],
                    "intelRdt": {
                        "closID": "c",
                        "l3CacheSchema": "L3:0=f",
                        "memBwSchema": "MB:0=70",
                        "enableMonitoring": True,
                    },
                    "netDevices": [{"hostInterfaceName": "eth1", "name": "net1"}],
                    "additionalGids": [44],
                },
            }
        ],
    }


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        (Edits(env={"": "x"}), "env"),
        (Edits(env={"A=B": "x"}), "env"),
        (Edits(device_nodes=[DeviceNode(path="dev/x")]), "deviceNodes: path: 'dev/x' must be an absolute path"),
        (Edits(device_nodes=[DeviceNode(path="/dev/x", type="z")]), "type: 'z' is none of"),
        (Edits(device_nodes=[DeviceNode(path="/dev/x", permissions="rx")]), "permissions: 'rx'"),
        (Edits(mounts=[Mount(host_path="/a", container_path="b")]), "mounts: containerPath"),
        (Edits(hooks=[Hook(hook_name="before", path="/bin/x")]), "hookName: 'before' is none of"),
        (Edits(hooks=[Hook(hook_name="poststop", path="/bin/x", env=["A"])]), "'A' is not NAME=VALUE"),
        (Edits(net_devices=[NetDevice(host_interface_name="e", name="")]), "netDevices"),
        (
            Edits(net_devices=[NetDevice(host_interface_name=one, name="n") for one in "ab"]),
            "netDevices: n, n: names must be there, and differ",
        ),
        (Edits(additional_gids=[-1]), "additionalGids"),
        (Edits(intel_rdt=IntelRdt(clos_id="a/b")), "closID"),
    ],
)
def test_what_a_runtime_would_refuse(edits: Edits, reason: str) -> None:
    with pytest.raises(EditsError) as caught:
        check(edits)
    assert reason in str(caught.value)


def test_permissions_none_are_right() -> None:
    check(Edits(device_nodes=[DeviceNode(path="/dev/x", permissions="none")]))


@pytest.mark.parametrize("devices", [{"gpu": Edits()}, {"g p u": ENV}, {"-gpu": ENV}])
def test_a_device_without_edits_or_with_a_bad_name_is_no_device(devices: dict[str, Edits]) -> None:
    with pytest.raises(EditsError):
        render("k8s.gpu.example.com/claim", devices)


def test_only_our_own_files_are_swept(tmp_path: Path) -> None:
    folder = SpecFolder("gpu.example.com", tmp_path)
    folder.write("known", {"known_0_gpu": ENV})
    folder.write("gone", {"gone_0_gpu": ENV})
    others = [
        "k8s.gpu.example.com-metadata_x.json",
        "k8s.gpu.example.com-claim-two-claim_x.json",
        "k8s.other.example.com-claim_x.json",
        "nvidia.yaml",
    ]
    for name in others:
        (tmp_path / name).write_text("{}")
    (tmp_path / ".k8s.gpu.example.com-claim_x.json.tmp").write_text("{")
    assert folder.sweep(["known"]) == [
        ".k8s.gpu.example.com-claim_x.json.tmp",
        "k8s.gpu.example.com-claim_gone.json",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "k8s.gpu.example.com-claim_known.json"])


def test_a_file_that_is_right_is_not_written_again(tmp_path: Path) -> None:
    folder = SpecFolder("gpu.example.com", tmp_path)
    folder.write("u", {"u_0_gpu": ENV})
    before = folder.path("u").stat().st_ino
    folder.write("u", {"u_0_gpu": ENV})
    assert folder.path("u").stat().st_ino == before
    folder.path("u").write_text("changed")
    folder.write("u", {"u_0_gpu": ENV})
    assert json.loads(folder.path("u").read_text())["cdiVersion"] == "0.3.0"
    folder.write("u", {})
    assert not folder.path("u").exists()
