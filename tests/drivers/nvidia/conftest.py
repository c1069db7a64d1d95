"""The library of C that stands for NVIDIA's, for the tests of the live door. Skipped without compiler or module."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    pytest.importorskip("pynvml")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    made = tmp_path_factory.mktemp("lib") / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("libnvidia_ml.c")
    options = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Wl,-soname,libnvidia-ml.so.1"]
    subprocess.run([compiler, *options, "-o", str(made), str(source)], check=True)
    # The dynamic linker then has a library of this name, and nvidia-ml-py gets it.
    return ctypes.CDLL(str(made), mode=ctypes.RTLD_GLOBAL)
