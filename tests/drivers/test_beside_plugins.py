"""The drivers of hardware publish nothing that device plugins of their vendors offer, whatever these call it."""

from __future__ import annotations

import pytest

from fairlead.driver.coexistence import Offer, withhold
from fairlead.drivers.power import PowerDriver
from fairlead.drivers.spyre import SpyreDriver
from tests.drivers.nvidia import machines as nvidia
from tests.drivers.power import machines as power
from tests.drivers.spyre import machines as spyre


def left(driver, *offers):
    [pool] = withhold([driver.discover()], [Offer(*one) for one in offers], driver.plugin_resources)
    return {one.name for one in pool.devices}, list(pool.problems)


@pytest.mark.parametrize("options", ["", "mig=dynamic", "shares=4"])
@pytest.mark.parametrize("replica", ["", "::2"])
def test_a_gpu_of_nvidias_plugin_is_not_published_and_the_others_are(tmp_path, options, replica):
    box = nvidia.h100(tmp_path)
    driver = box.driver(options)
    uuid = box.nvml.gpus["0000:52:00.0"].gpu.uuid
    names, problems = left(driver, ("nvidia.com/gpu", uuid + replica))
    assert {name.split("-")[1] for name in names} == set("0134567")
    assert problems[-1].endswith("a device plugin offers it as nvidia.com/gpu")


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb"])
@pytest.mark.parametrize("device", ["2", "0:1", "2::1"])
def test_where_nvidias_plugin_says_indices_no_gpu_is_published(tmp_path, resource, device):
    names, problems = left(nvidia.h100(tmp_path).driver(), (resource, device))
    assert names == set()
    assert "under ids that name no device" in problems[0]


def test_an_instance_of_nvidias_plugin_is_not_published_and_its_siblings_are(tmp_path):
    box = nvidia.a100(tmp_path, nvidia.half_balanced())
    driver = box.driver()
    every = {one.name: one for one in driver.discover().devices}
    names, _ = left(driver, ("nvidia.com/mig-1g.5gb", every["gpu-0-mig-1g5gb-19-2"].attributes["uuid"].string))
    assert set(every) - names == {"gpu-0-mig-1g5gb-19-2"}


@pytest.mark.parametrize(("machine", "options"), [(nvidia.half_on, "mig=dynamic"), (nvidia.cut_a100, "")])
def test_parts_of_a_gpu_that_nvidias_plugin_has_as_a_whole_are_not_published(tmp_path, machine, options):
    box = machine(tmp_path)
    names, _ = left(box.driver(options), ("nvidia.com/gpu", box.nvml.gpus["0000:10:1d.0"].gpu.uuid))
    assert any(name.startswith("gpu-0-mig") for name in names)
    assert not any(name.startswith("gpu-1") for name in names)


def test_a_card_of_ibms_plugin_goes_with_its_virtual_functions(tmp_path):
    driver = SpyreDriver(spyre.with_virtual(tmp_path, 2).machine, "node-1")
    names, _ = left(driver, ("ibm.com/spyre_pf_tier0", "0000:1a:00.0"))
    assert len(names) == 21
    assert not any(name.startswith("0000-1a") for name in names)
    names, _ = left(driver, ("ibm.com/spyre_vf", "0000:1a:00.1"))
    assert len(names) == 21
    assert left(driver, ("ibm.com/spyre_pf", "3"))[0] == set()


def test_beside_the_power_device_plugin_no_credits_are_published(tmp_path):
    driver = PowerDriver(power.partition(tmp_path).machine)
    assert left(driver, ("power-dev-plugin/nx-gzip", "nx-gzip-1"))[0] == set()
    assert len(left(driver, ("power-dev-plugin/other", "1"), ("nvidia.com/gpu", "0"))[0]) == 2
