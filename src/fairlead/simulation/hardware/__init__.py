"""Hardware profiles: what a spec can name, each a module that adds nodes and devices to a `Site`."""

from fairlead.simulation.hardware import bluefield, fabric, gb200, h100, mi300x, mig, power, shared_nics
from fairlead.simulation.hardware.profile import Field, Part, Profile
from fairlead.simulation.hardware.site import Site

_MODULES = (h100, gb200, mi300x, mig, power, bluefield, shared_nics, fabric)
PROFILES = {module.PROFILE.name: module.PROFILE for module in _MODULES}
"""The profiles by name: those that make nodes, then those that extend them."""

__all__ = ["PROFILES", "Field", "Part", "Profile", "Site"]
