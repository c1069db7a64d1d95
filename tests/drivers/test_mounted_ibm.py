"""The commands on a machine whose /sys and /dev are a made-up tree's, in a mount namespace of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml

from tests.drivers.power.machines import partition
from tests.drivers.spyre.machines import with_virtual

COMMAND = "import sys; from fairlead.cli import main; sys.exit(main())"


def on(root, driver):
    """What `fairlead node discover` prints where the tree's /sys and /dev are the machine's."""
    script = f'mount --bind "{root}/sys" /sys && mount --bind "{root}/dev" /dev && exec "$@"'
    if subprocess.run(["unshare", "-m", "mount", "--bind", "/tmp", "/sys"], capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    command = [sys.executable, "-c", COMMAND, "node", "discover", "--driver", driver, "--node-name", "n"]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *command],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
    )
    found = [one for one in yaml.safe_load_all(done.stdout) if one]
    return [device for one in found for device in one["spec"].get("devices", ())], done.stderr


def test_spyre(tmp_path):
    devices, errors = on(with_virtual(tmp_path).root, "spyre")
    assert (len(devices), errors) == (72, "")


def test_power(tmp_path):
    devices, _ = on(partition(tmp_path).root, "power")
    assert [one["capacity"]["credits"]["value"] for one in devices] == ["320", "32"]
