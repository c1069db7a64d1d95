"""The network driver passes `fairlead conformance` on each kind of machine, as a process and as users start it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

import pytest

from fairlead.conformance import Options, Report, catalogue, run
from tests.drivers.network.node import SRIOV

NODE = f"import sys; sys.path[:0] = {sys.path!r}; from fairlead.cli import main; main()"
ARGUMENTS = ("--node-name", "{node}", "--kubeconfig", "{kubeconfig}", "--pod-uid", "{pod_uid}")
FOLDERS = ("--plugins-dir", "{plugins}", "--registry-dir", "{registry}", "--cdi-dir", "{cdi}")
DRANET_CONFIGS = ({"interface": {"mtu": 1400}}, {"interface": {"mtu": 1300}, "routes": [{"destination": "10.0.0.0/8"}]})
SRIOV_CONFIGS = tuple(
    {"apiVersion": f"{SRIOV}/v1alpha1", "kind": "VfConfig", "addVhostMount": vhost} for vhost in (True, False)
)


def try_on(machine: str, settings: str, groups: Collection[str] = ()) -> Report:
    """The report on a machine: of some groups of checks, or of all."""
    with tempfile.TemporaryDirectory(prefix="fl", dir="/tmp") as root:
        driver = f"tests.drivers.network.lasting:make={machine}:{root}/box:{settings}"
        (Path(root) / "box").mkdir()
        command = (sys.executable, "-c", NODE, "node", "--driver", driver, *ARGUMENTS, *FOLDERS)
        checks = [one for one in catalogue() if not groups or one.group in groups]
        configs = SRIOV_CONFIGS if "profile=sriov" in settings else DRANET_CONFIGS
        return asyncio.run(run(Options(Path(root) / "kit", command, settle=0.5, configs=configs), checks))


SINGLE = {"attributes-taints", "shares"}
"""Checks of taints and of shares, which devices of one claim do not have."""
UNSEEN = {"config-precedence", "config-other-request"}
"""What DRANET's configuration says is in the hook's order, and not in the edits, which these two look at."""
SHARED = {"attributes-taints", "overlap-refused", "admin-access"}
"""Where the device that these would hold can be had several times."""
PASSIVE = {"prepare-status", "status-accepted"}
"""Where no interface moves, there is nothing to say of it in the claim's status."""


QUICK = ("slices", "attributes", "prepare", "cdi", "sharing", "config", "unprepare", "overall")
"""The groups that need one start of the driver; on the machines whose restarts are those of others."""
OTHER_MACHINES = {"e810": 10, "infiniband": 2, "efa": 32}


@pytest.mark.parametrize(
    ("machine", "settings", "devices", "skips"),
    [
        pytest.param("connectx7", "", 19, SINGLE | UNSEEN, id="ConnectX-7 with 16 functions"),
        pytest.param("connectx7", "profile=sriov", 16, SINGLE, id="its functions for the SR-IOV driver's claims"),
        pytest.param("connectx7", "vfpool=ens1f0np0,only=ens1f0np0", 1, SHARED | UNSEEN, id="a pool of its functions"),
        pytest.param("connectx7", "share=ens1f1np1,only=ens1f1np1", 1, SHARED | UNSEEN, id="a port with shared RDMA"),
        pytest.param("exclusive", "", 19, SINGLE | UNSEEN, id="exclusive RDMA"),
        pytest.param("plain", "", 5, SINGLE | UNSEEN, id="plain cards"),
    ],
)
def test_no_check_fails(machine: str, settings: str, devices: int, skips: set[str]) -> None:
    report = try_on(machine, settings)
    assert {one.check.id: one.seen for one in report.results if one.verdict == "fail"} == {}
    skipped = {one.check.id: one.seen for one in report.results if one.verdict == "skip"}
    assert skipped.keys() == skips, skipped
    assert report.devices == devices


@pytest.mark.parametrize("machine", OTHER_MACHINES)
def test_no_check_of_one_start_fails(machine: str) -> None:
    report = try_on(machine, "", QUICK)
    assert {one.check.id: one.seen for one in report.results if one.verdict == "fail"} == {}
    skipped = {one.check.id: one.seen for one in report.results if one.verdict == "skip"}
    assert skipped.keys() == SINGLE | UNSEEN | (PASSIVE if machine == "efa" else set()), skipped
    assert report.devices == OTHER_MACHINES[machine]
