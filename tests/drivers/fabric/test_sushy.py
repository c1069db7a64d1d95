"""The live door, over sushy; skipped where it is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from fairlead.cli import main
from fairlead.drivers.fabric import FabricDriver, read_options
from fairlead.drivers.fabric.redfish import SushyRedfish
from fairlead.hardware import HardwareError, LiveMachine
from tests.drivers.fabric.bench import DRIVER, POOLS, config, held, settle
from tests.drivers.fabric.emulator import Emulator

sushy = pytest.importorskip("sushy")
# It ends its session when it is collected, maybe in the emulator's own thread, which would wait for itself.
sushy.Sushy.__del__ = lambda self: None


@pytest.mark.parametrize(("kind", "patch"), [("resource-blocks", False), ("resource-blocks", True), ("connections", 0)])
def test_a_device_is_attached_and_detached_with_a_session_that_ends(tmp_path: Path, kind: str, patch: bool) -> None:
    (tmp_path / "user").write_text("admin\n")
    (tmp_path / "password").write_text("secret\n")
    files = {"usernameFile": str(tmp_path / "user"), "passwordFile": str(tmp_path / "password")}
    with Emulator(kind, patch_only=bool(patch), user="admin", password="secret") as box:
        options = read_options(config(tmp_path, box, **files))
        driver = FabricDriver(DRIVER, options, LiveMachine(tmp_path))
        settle(driver, [held(POOLS[kind], "gpu-gpu-0", "node-1")], 30)
        assert box.attached == {"GPU-0": "Sys-1"}
        box.end_sessions()
        box.stale = 1  # sushy's own PATCH would drop the ETag here
        settle(driver, [], 30)
        assert box.attached == {}
        assert box.writes == ["attach GPU-0 Sys-1", "detach GPU-0 Sys-1"]
        assert box.violations == []


def test_a_password_that_was_changed_is_read_again(tmp_path: Path) -> None:
    with Emulator(user="admin", password="secret") as box:
        (tmp_path / "user").write_text("admin")
        (tmp_path / "password").write_text("secret")
        files = {"usernameFile": str(tmp_path / "user"), "passwordFile": str(tmp_path / "password")}
        door = SushyRedfish(read_options(config(tmp_path, box, **files)).managers)
        assert door.get("rack", "/redfish/v1/Systems/Sys-1")["Id"] == "Sys-1"
        box.password = "another"
        box.end_sessions()
        with pytest.raises(HardwareError, match="rack: "):
            door.get("rack", "/redfish/v1/Systems/Sys-1")
        (tmp_path / "password").write_text("another")
        assert door.get("rack", "/redfish/v1/Systems/Sys-1")["Id"] == "Sys-1"


def test_wrong_passwords_and_refusals_have_their_code(tmp_path: Path) -> None:
    with Emulator(user="admin", password="secret") as box:
        (tmp_path / "w").write_text("wrong")
        options = read_options(
            config(tmp_path, box, usernameFile=str(tmp_path / "w"), passwordFile=str(tmp_path / "w"))
        )
        with pytest.raises(HardwareError, match="rack"):
            SushyRedfish(options.managers).get("rack", "/redfish/v1/CompositionService")
    with Emulator() as box:
        door = SushyRedfish(read_options(config(tmp_path, box)).managers)
        with pytest.raises(HardwareError, match="404") as caught:
            door.get("rack", "/redfish/v1/Nothing")
        assert caught.value.code == "404"


@pytest.mark.parametrize("garbage", [b"<html>", b"", b"[1]", b"{}"])
def test_an_answer_that_makes_no_sense_is_named(tmp_path: Path, garbage: bytes) -> None:
    with Emulator() as box:
        door = SushyRedfish(read_options(config(tmp_path, box)).managers)
        for where, path in (("v1", "/redfish/v1/Systems/Sys-1"), ("Sys-1", "/redfish/v1/Systems/Sys-1")):
            box.raw = {where: garbage}
            if (where, garbage) != ("Sys-1", b"{}"):
                with pytest.raises(HardwareError, match="rack: ") as caught:
                    door.get("rack", path)
                assert caught.value.code in ("malformed", "")
        box.raw = {}
        assert door.get("rack", "/redfish/v1/Systems/Sys-1")["Id"] == "Sys-1"


@pytest.mark.parametrize("kind", ["resource-blocks", "connections"])
def test_a_recording_of_the_command_answers_without_the_box(tmp_path: Path, kind: str) -> None:
    def command(*words: str) -> str:
        done = CliRunner().invoke(main, ["node", *words, "--driver", f"fabric={path}", "--node-name", "pools"])
        assert done.exit_code == 0, done.output
        return done.stdout

    with Emulator(kind) as box:
        path = config(tmp_path, box)
        seen = command("discover")
        assert "2 devices" in command("record", str(tmp_path / "box.yaml"))
    assert seen.count("GPU-1111-") == 2
    assert command("discover", "--recording", str(tmp_path / "box.yaml")) == seen
