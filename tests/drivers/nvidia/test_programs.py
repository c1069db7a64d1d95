"""The live door to the host, with programs that are scripts: they write down how they were called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fairlead.drivers.nvidia.edits import library_edits
from fairlead.drivers.nvidia.host import Made, Note, Served
from fairlead.drivers.nvidia.programs import LiveHost
from fairlead.hardware import HardwareError
from tests.drivers.nvidia.fake_host import EDITS


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """A folder for programs, first in PATH, and the list of their calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


@pytest.fixture
def host(tmp_path):
    return LiveHost(tmp_path / "state", tmp_path / "mps", enter=())


def program(folder: Path, name: str, output: str = "", status: int = 0) -> Path:
    log = folder / f"{name}.log"
    path = folder / name
    path.write_text(
        f'#!/bin/sh\necho "$CUDA_MPS_PIPE_DIRECTORY $@" >> {log}\n'
        f"[ {name} = nvidia-cuda-mps-control ] && cat >> {log}\ncat <<'END'\n{output}\nEND\n"
        f"[ {status} = 0 ] || echo 'it went wrong' >&2\nexit {status}\n"
    )
    path.chmod(0o755)
    return log


def test_libraries(host, calls):
    log = program(calls, "nvidia-ctk", json.dumps({"cdiVersion": "0.5.0", "devices": [], "containerEdits": EDITS}))
    assert library_edits(host.libraries()).mounts[0].host_path == EDITS["mounts"][0]["hostPath"]
    assert log.read_text().strip() == "--quiet cdi generate --format json"


def test_libraries_without_nvidia_ctk(host, calls, monkeypatch):
    monkeypatch.setenv("PATH", str(calls))
    assert host.libraries() == ""


@pytest.mark.parametrize("output", ["", "no JSON", "[]", '{"devices": []}', '{"containerEdits": []}'])
def test_bad_answers_of_nvidia_ctk(host, calls, output):
    program(calls, "nvidia-ctk", output)
    with pytest.raises(HardwareError, match="nvidia-ctk cdi generate: gave no CDI specification"):
        host.libraries()


def test_a_program_that_fails(host, calls):
    program(calls, "nvidia-smi", status=3)
    with pytest.raises(HardwareError, match="nvidia-smi: exit status 3: it went wrong"):
        host.set_time_slice("GPU-1", 2)


def test_time_slices(host, calls):
    log = program(calls, "nvidia-smi")
    host.set_time_slice("GPU-1", 2)
    assert log.read_text().split() == ["compute-policy", "-i", "GPU-1", "--set-timeslice", "2"]


def test_notes_outlive_the_process(host, tmp_path):
    note = Note("boot", (Made("d", "0000:1b:00.0", 19, 6),), {"0000:1b:00.0": "GPU-1"}, ("0000:1b:00.0",), True)
    host.note("u", note)
    (tmp_path / "state" / "v.half").write_text("cut o")
    again = LiveHost(tmp_path / "state", tmp_path / "mps", enter=())
    assert again.notes() == {"u": note}
    again.forget("u")
    again.forget("u")
    assert again.notes() == {}


def test_damaged_notes_are_told(host, tmp_path):
    host.note("u", Note("boot"))
    (tmp_path / "state" / "u.json").write_text("{")
    with pytest.raises(HardwareError, match="notes of what was changed cannot be read"):
        host.notes()


def test_an_mps_daemon(host, calls, tmp_path):
    units = program(calls, "systemd-run")
    control = program(calls, "nvidia-cuda-mps-control")
    served = host.serve("u", "g0", ["GPU-1", "GPU-2"], 50, {"GPU-1": "1024M"}, multi_user=True)
    folder = tmp_path / "mps/u/g0"
    assert served == Served(str(folder / "pipe"), str(folder / "shm"))
    assert units.read_text().split() == [
        "--unit=fairlead-mps-u-g0.service",
        *["--description=MPS", "daemon", "for", "ResourceClaim", "u"],
        "--service-type=exec",
        "--collect",
        f"--property=BindPaths={folder}/shm:/dev/shm",
        f"--setenv=CUDA_MPS_PIPE_DIRECTORY={folder}/pipe",
        f"--setenv=CUDA_MPS_LOG_DIRECTORY={folder}/log",
        "--setenv=CUDA_VISIBLE_DEVICES=GPU-1,GPU-2",
        "nvidia-cuda-mps-control",
        "-f",
        "-M",
    ]
    assert control.read_text().split() == [
        f"{folder}/pipe",
        "get_server_list",
        f"{folder}/pipe",
        *["set_default_active_thread_percentage", "50"],
        f"{folder}/pipe",
        *["set_default_device_pinned_mem_limit", "GPU-1", "1024M"],
    ]
    stops = program(calls, "systemctl")
    host.stop_serving("u")
    host.stop_serving("u")
    assert stops.read_text().split() == ["stop", "fairlead-mps-u-g0.service"]
    assert not (tmp_path / "mps/u").exists()


def test_a_daemon_that_never_started_is_stopped_as_well(host, calls, tmp_path):
    program(calls, "systemd-run", status=1)
    with pytest.raises(HardwareError, match="systemd-run: exit status 1"):
        host.serve("u", "g0", ["GPU-1"], None, {}, multi_user=False)
    path = calls / "systemctl"
    path.write_text("#!/bin/sh\necho 'Failed to stop x.service: Unit x.service not loaded.' >&2\nexit 5\n")
    path.chmod(0o755)
    host.stop_serving("u")
    assert not (tmp_path / "mps/u").exists()


def test_in_a_container_programs_run_where_the_host_is(tmp_path, calls):
    log = program(calls, "outside")
    LiveHost(tmp_path, tmp_path, enter=("outside", "--")).set_time_slice("GPU-1", 0)
    assert log.read_text().split() == ["--", "nvidia-smi", "compute-policy", "-i", "GPU-1", "--set-timeslice", "0"]
