"""The live door, through nvidia-ml-py, to a library of C that knows one H100. Skipped without compiler or module."""

from __future__ import annotations

import pytest

from fairlead.drivers.nvidia.live import LiveNvml
from fairlead.drivers.nvidia.nvml import Condition, Event, Fabric, Gpu, Instance, Profile, System
from fairlead.hardware import HardwareError

ADDRESS = "0000:1b:00.0"
FABRIC = Fabric("completed", 0, "00010203-0405-0607-0809-0a0b0c0d0e0f", 7)


@pytest.fixture
def nvml(library):
    library.fake_lose(0)
    return LiveNvml()


def test_a_gpu(nvml):
    assert nvml.system() == System("580.126.20", "13.0")
    assert nvml.gpu(ADDRESS) == Gpu(
        uuid="GPU-1",
        minor=2,
        name="NVIDIA H100 80GB HBM3",
        brand="Nvidia",
        architecture="Hopper",
        capability="9.0",
        memory=81559 << 20,
        addressing="HMM",
        mig=False,
        mig_pending=False,
        module=3,
        nvlinks=18,
        fabric=FABRIC,
    )


def test_profiles(nvml):
    assert nvml.profiles(ADDRESS) == [
        Profile(19, "1g.10gb", 1, 16, 1, 1, 0, 1, 0, 9856, 1, (0, 1, 2, 3, 4, 5, 6)),
        Profile(0, "7g.80gb", 7, 132, 1, 1, 0, 1, 0, 81153, 8, (0,)),
    ]


def test_instances_are_made_and_destroyed(nvml):
    assert nvml.instances(ADDRESS) == []
    with pytest.raises(HardwareError) as caught:
        nvml.create(ADDRESS, 19, 6)
    assert caught.value.code == "3"
    nvml.set_mig(ADDRESS, True)
    made = nvml.create(ADDRESS, 19, 6)
    assert made == Instance(0, 19, 6, 1, 0, 1, "MIG-0")
    other = nvml.create(ADDRESS, 19, 2)
    assert nvml.instances(ADDRESS) == [made, other]
    with pytest.raises(HardwareError) as caught:
        nvml.create(ADDRESS, 0, 0)
    assert caught.value.code == "23"
    with pytest.raises(HardwareError) as caught:
        nvml.set_mig(ADDRESS, False)
    assert caught.value.code == "19"
    nvml.destroy(ADDRESS, made.number)
    nvml.destroy(ADDRESS, made.number)
    assert nvml.instances(ADDRESS) == [other]
    nvml.destroy(ADDRESS, other.number)
    nvml.set_mig(ADDRESS, False)
    assert nvml.gpu(ADDRESS).mig is False


def test_a_mode_that_takes_a_reset_is_taken_back(nvml, library):
    library.fake_old(1)
    with pytest.raises(HardwareError, match="MIG mode could not be turned on: it takes a reset of the GPU"):
        nvml.set_mig(ADDRESS, True)
    library.fake_old(0)
    gpu = nvml.gpu(ADDRESS)
    assert (gpu.mig, gpu.mig_pending) == (False, False)


def test_condition_and_mode(nvml, library):
    assert nvml.condition(ADDRESS) == Condition("reset", False, True, FABRIC)
    nvml.set_exclusive(ADDRESS, True)
    assert library.fake_exclusive()
    nvml.set_exclusive(ADDRESS, False)
    assert not library.fake_exclusive()


def test_events(nvml):
    assert nvml.wait([ADDRESS], 0.1) == [Event(ADDRESS, 79)]
    assert nvml.wait([ADDRESS], 0.1) == [Event(ADDRESS, 79, 3)]
    assert nvml.wait([ADDRESS], 0.1) == []
    assert nvml.wait([], 0.1) is None


def test_lost_and_unknown_gpus(nvml, library):
    library.fake_lose(1)
    with pytest.raises(HardwareError) as caught:
        nvml.condition(ADDRESS)
    assert (caught.value.code, str(caught.value).startswith(ADDRESS)) == ("15", True)
    before = library.fake_started()
    with pytest.raises(HardwareError) as caught:
        nvml.gpu("0000:ff:00.0")
    assert caught.value.code == "6"
    assert library.fake_started() == before + 1, "NVML was not initialised anew for a GPU that it does not know"


def test_without_the_module_or_the_library_it_is_said():
    with pytest.raises(HardwareError, match=r"install fairlead\[nvidia\]"):
        LiveNvml("no_such_pynvml").system()
    assert LiveNvml("no_such_pynvml").wait([ADDRESS], 0.1) is None
