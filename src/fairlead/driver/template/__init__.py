"""What `fairlead driver new` writes: a small driver that works, with tests, manifests and a recipe of its image.

The files stand below `files/` as they will be, but for `.in` at the end of their names, so that no tool takes them for
ours, and for words between `@`, which stand for the driver's names. `PACKAGE` in a path is the package's name.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import fairlead
from fairlead.driver.slices import driver_name_faults

_PACKAGE_MAX: Final = 40
"""Characters: the namespace has the same name, and lines of code must not grow too long."""
_package = re.compile("[a-z][a-z0-9]*(_[a-z0-9]+)*")


class NameFaultError(ValueError):
    """A name cannot be used; the text names it and the reason."""


@dataclass(frozen=True, slots=True)
class Names:
    """How the parts of a driver are called."""

    driver: str
    """In Kubernetes: `fpga.example.com`."""
    package: str
    """In Python: `fpga_driver`."""

    @property
    def project(self) -> str:
        """Of the folder, the distribution, the image and the objects in the cluster: `fpga-driver`."""
        return self.package.replace("_", "-")

    @property
    def variable(self) -> str:
        """What environment variables in containers begin with: `FPGA`."""
        return self.package.removesuffix("_driver").upper()


def make_names(driver: str, package: str = "") -> Names:
    """The names of a driver.

    Args:
        driver: its name in Kubernetes.
        package: of Python; made of the driver's first label where it is empty.

    Raises:
        NameFaultError: one cannot be used.
    """
    faults = driver_name_faults(driver)
    if not faults and driver != driver.lower():
        faults = "must be lower-case"  # the API server takes it, but not as the name of a class
    if faults:
        raise NameFaultError(f"{driver!r}: is no name of a driver: {faults}")
    package = package or f"{driver.partition('.')[0].replace('-', '_')}_driver"
    if not _package.fullmatch(package) or keyword.iskeyword(package) or package == "fairlead":
        raise NameFaultError(
            f"{package!r}: is no name of a package: lower-case letters, digits, and single _ between them, beginning "
            "with a letter; choose one with --package"
        )
    if len(package) > _PACKAGE_MAX:
        raise NameFaultError(f"{package!r}: is longer than {_PACKAGE_MAX} characters; choose another with --package")
    return Names(driver, package)


def render(names: Names) -> Mapping[str, str]:
    """The text of each file by its path below the project's folder."""
    words = {
        "DRIVER": names.driver,
        "PACKAGE": names.package,
        "PROJECT": names.project,
        "VARIABLE": names.variable,
        "FAIRLEAD": fairlead.__version__,
    }
    found: dict[str, str] = {}
    _collect(files(__name__) / "files", "", found)
    made = {}
    for path, text in sorted(found.items()):
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        made[path.replace("PACKAGE", names.package)] = text
    return made


def _collect(folder: Traversable, path: str, found: dict[str, str]) -> None:
    for item in folder.iterdir():
        if item.is_dir():
            _collect(item, f"{path}{item.name}/", found)
        elif item.name.endswith(".in"):
            found[path + item.name.removesuffix(".in")] = item.read_text(encoding="utf-8")
