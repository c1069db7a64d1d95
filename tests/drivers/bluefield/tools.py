"""Stands for `devlink`, `ip` and `bridge` in tests, on a DPU or on its host; run as a program, under those names.

`devlink` has its state in a file (FAIRLEAD_TEST_DPU/devlink.json): devices, ports, rates, which are those of the side
that it runs on (`dpu`, or the host in NIC mode `nic`, or the host in DPU mode `host`). A sub-function that is made is a
pair of real veth interfaces, the first of which stands for the representor, and appears in the tree of the host when it
becomes active. `ip` and `bridge` are the real ones. Commands that change something are counted, and what faults.json
says happens at them: the caller is killed before or after the n-th, it takes long, or it fails. Standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REAL = {"ip": "/usr/sbin/ip", "bridge": "/usr/sbin/bridge"}
VFS = 4


def new_state(host: Path, side: str = "dpu") -> dict[str, Any]:
    """A card with two ports and four virtual functions of the host on each, as one side sees it."""
    slot, controller = ("0000:03:00", 1) if side == "dpu" else ("0000:3b:00", 0)
    devices = [f"pci/{slot}.{pf}" for pf in range(2)]
    ports: dict[str, Any] = {}
    for pf, device in enumerate(devices if side != "host" else []):
        uplink = f"p{pf}" if side == "dpu" else f"enp59s0f{pf}np{pf}"
        ports[f"{device}/65535"] = {"type": "eth", "netdev": uplink, "flavour": "physical", "port": pf}
        if side == "dpu":
            ports[f"{device}/1"] = {
                "type": "eth",
                "netdev": f"pf{pf}hpf",
                "flavour": "pcipf",
                "controller": controller,
                "pfnum": pf,
                "external": True,
                "function": {"hw_addr": f"a0:88:c2:00:00:0{pf}"},
            }
        for vf in range(VFS):
            ports[f"{device}/{10 + vf}"] = {
                "type": "eth",
                "netdev": f"pf{pf}vf{vf}",
                "flavour": "pcivf",
                "controller": controller,
                "pfnum": pf,
                "vfnum": vf,
                "external": side == "dpu",
                "function": {"hw_addr": "00:00:00:00:00:00", "ipsec_packet": "disable"},
            }
    return {"devices": devices, "ports": ports, "rates": {}, "host": str(host), "managed": side != "host"}


def install(folder: Path, host: Path, side: str = "dpu") -> Path:
    """Puts the programs into `folder/bin`, with a new card beside them; the folder for PATH."""
    place = folder / "bin"
    place.mkdir(parents=True)
    for name in ("devlink", "ip", "bridge"):
        # What is asked most needs no Python, which takes long to start.
        quick = f'cat "{folder}/ports.json"' if name == "devlink" else f'exec {REAL[name]} "$@"'
        when = '"-j port show"' if name == "devlink" else '*" show "*'
        script = place / name
        script.write_text(
            f'#!/bin/sh\ncase "$*" in\n{when}) {quick} ;;\n'
            f'*) exec "{sys.executable}" -I -S "{__file__}" {name} "$@" ;;\nesac\n'
        )
        script.chmod(0o755)
    save(folder / "devlink.json", new_state(host, side))
    return place


def save(path: Path, state: dict[str, Any]) -> None:
    """Replaces the state, and what `port show` prints of it."""
    for place, value in ((path, state), (path.with_name("ports.json"), {"port": state["ports"]})):
        whole = place.with_suffix(".new")
        whole.write_text(json.dumps(value))
        whole.rename(place)


def main() -> None:
    folder = Path(os.environ["FAIRLEAD_TEST_DPU"])
    name, *arguments = sys.argv[1:]
    changing = {"add", "del", "set"} & set(arguments)
    faults: dict[str, Any] = {}
    if (folder / "faults.json").exists():
        faults = json.loads((folder / "faults.json").read_text())
    step = 0
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if changing:
            with open(folder / "changes", "a") as log:
                log.write(f"{name} {' '.join(arguments)}\n")
            step = len((folder / "changes").read_text().splitlines())
            if step == faults.get("kill_before"):
                os.kill(os.getppid(), signal.SIGKILL)
                sys.exit(1)
    text = f"{name} {' '.join(arguments)}"
    if faults.get("slow", "\0") in text:
        time.sleep(faults["seconds"])
    if faults.get("fail", "\0") in text:
        print(faults["error"], file=sys.stderr)
        sys.exit(1)
    if name == "devlink":
        with open(folder / "devlink.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            status = devlink(folder / "devlink.json", [one for one in arguments if one != "-j"])
    else:
        status = subprocess.run([REAL[name], *arguments], check=False).returncode
    if changing and step == faults.get("kill_after"):
        os.kill(os.getppid(), signal.SIGKILL)
    sys.exit(status)


def devlink(path: Path, words: list[str]) -> int:
    state = json.loads(path.read_text())
    status = 0
    if words == ["dev", "show"]:
        print(json.dumps({"dev": {name: {} for name in state["devices"]}}))
    elif words[:2] == ["dev", "info"]:
        running = {"fw.version": "32.39.2048", "fw": "32.39.2048"}
        versions = {"fixed": {"fw.psid": "MT_0000000884"}, "running": running}
        print(json.dumps({"info": {words[2]: {"driver": "mlx5_core", "versions": versions}}}))
    elif words[:3] == ["dev", "eswitch", "show"] and not state["managed"]:
        print("kernel answers: Operation not permitted", file=sys.stderr)
        return 1
    elif words[:3] == ["dev", "eswitch", "show"]:
        print(json.dumps({"dev": {words[3]: {"mode": "switchdev", "inline-mode": "none", "encap-mode": "basic"}}}))
    elif words[:2] == ["health", "show"]:
        print(json.dumps({"health": {words[2]: [{"reporter": "fw", "state": "healthy"}]}}))
    elif words[:2] == ["port", "add"]:
        status = add(state, words[2], dict(zip(words[3::2], words[4::2], strict=True)))
    elif words[:2] == ["port", "del"]:
        status = delete(state, words[2])
    elif words[:4] == ["port", "function", "rate", "set"]:
        state["rates"][words[4]] = words[6]
    elif words[:3] == ["port", "function", "set"]:
        status = change(state, words[3], words[4], words[5])
    else:
        print(f"Command {words} not found", file=sys.stderr)
        status = 1
    save(path, state)
    return status


def add(state: dict[str, Any], device: str, words: dict[str, str]) -> int:
    pf, sf = int(words["pfnum"]), int(words["sfnum"])
    handle, netdev = f"{device}/{32768 + sf}", f"en3f{pf}pf{pf}sf{sf}"
    if handle in state["ports"]:
        print("kernel answers: File exists", file=sys.stderr)
        return 1
    made = subprocess.run(
        [REAL["ip"], "link", "add", netdev, "type", "veth", "peer", "name", f"h{pf}s{sf}"], check=False
    )
    state["ports"][handle] = {
        "type": "eth",
        "netdev": netdev,
        "flavour": "pcisf",
        "controller": int(words.get("controller", 0)),
        "pfnum": pf,
        "sfnum": sf,
        "external": True,
        "function": {"hw_addr": "00:00:00:00:00:00", "state": "inactive", "opstate": "detached"},
    }
    print(json.dumps({"port": {handle: state["ports"][handle]}}))
    return made.returncode


def delete(state: dict[str, Any], handle: str) -> int:
    port = state["ports"].pop(handle, None)
    if port is None:
        print("kernel answers: No such device", file=sys.stderr)
        return 1
    state["rates"].pop(handle, None)
    shutil.rmtree(on_host(state, port), ignore_errors=True)
    return subprocess.run([REAL["ip"], "link", "del", port["netdev"]], check=False).returncode


def change(state: dict[str, Any], handle: str, key: str, value: str) -> int:
    port = state["ports"].get(handle)
    if port is None:
        print("kernel answers: No such device", file=sys.stderr)
        return 1
    port["function"][key] = value
    if key == "state":
        port["function"]["opstate"] = "attached" if value == "active" else "detached"
        folder = on_host(state, port)
        if value == "active":
            interface = folder / "net" / f"enp59s0f{port['pfnum']}s{port['sfnum']}"
            interface.mkdir(parents=True)
            (interface / "address").write_text("02:11:22:33:44:55\n")
            (folder / "sfnum").write_text(f"{port['sfnum']}\n")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def on_host(state: dict[str, Any], port: dict[str, Any]) -> Path:
    number = port["pfnum"] * 1000 + port["sfnum"]
    parent = f"sys/devices/pci0000:3a/0000:3a:01.0/0000:3b:00.{port['pfnum']}"
    return Path(state["host"]) / parent / f"mlx5_core.sf.{number}"


if __name__ == "__main__":
    main()
