"""Every NVML function that the live door calls, failing with every code of NVML: an answer, or an error that is named.

The library of C answers, and stands behind a module in which one function at a time is broken.
"""

from __future__ import annotations

import sys
from types import ModuleType

from fairlead.drivers.nvidia.live import LiveNvml
from fairlead.hardware import HardwareError
from tests.drivers.nvidia.test_live import ADDRESS

CODES = [*range(1, 31), 999]


class Broken(ModuleType):
    """nvidia-ml-py, with one function that fails, and a note of those that were called."""

    def __init__(self, real, name="", code=0):
        super().__init__("broken_pynvml")
        self.real, self.name, self.code, self.called = real, name, code, set()

    def __getattr__(self, name):
        found = getattr(self.real, name)
        if not name.startswith("nvml") or not callable(found) or isinstance(found, type):
            return found

        def call(*arguments):
            self.called.add(name)
            if name == self.name:
                raise self.real.NVMLError(self.code)
            return found(*arguments)

        return call


def asked(nvml):
    """All questions of discovery and health; gives the errors."""
    errors = []
    for question in (
        nvml.system,
        *(lambda name=name: getattr(nvml, name)(ADDRESS) for name in ("gpu", "profiles", "instances", "condition")),
        lambda: nvml.wait([ADDRESS], 0.01),
    ):
        try:
            question()
        except HardwareError as error:
            errors.append(error)
    return errors


def door(monkeypatch, module):
    monkeypatch.setitem(sys.modules, "broken_pynvml", module)
    return LiveNvml("broken_pynvml")


def test_no_code_of_any_function_is_a_crash(library, monkeypatch):
    import pynvml

    library.fake_lose(0)
    whole = Broken(pynvml)
    LiveNvml().set_mig(ADDRESS, True)
    made = LiveNvml().create(ADDRESS, 19, 6)
    try:
        assert asked(door(monkeypatch, whole)) == []
        assert len(whole.called) > 20
        for name in sorted(whole.called):
            for code in CODES:
                broken = Broken(pynvml, name, code)
                for error in asked(door(monkeypatch, broken)):
                    assert error.code == str(code)
                    assert str(error).startswith((ADDRESS, "NVML")), (name, code, str(error))
                # The library has two events and no more.
                assert name in broken.called | {"nvmlDeviceGetPciInfo"}
    finally:
        LiveNvml().destroy(ADDRESS, made.number)
        LiveNvml().set_mig(ADDRESS, False)


def test_a_function_that_works_again_is_asked_again(library, monkeypatch):
    import pynvml

    library.fake_lose(0)
    module = Broken(pynvml, "nvmlDeviceGetHandleByPciBusId", 15)
    nvml = door(monkeypatch, module)
    assert {one.code for one in asked(nvml)} == {"15"}
    module.code = 9
    assert {one.code for one in asked(nvml)} == {"9"}
    module.name = ""
    assert asked(nvml) == []
