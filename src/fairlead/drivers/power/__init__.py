"""The NX accelerators of IBM Power, as devices that claims share by credits: driver `nx.device.power.ibm.com`.

fairlead node --driver power

`accelerator` reads what the kernel says of NX (pure: files in, values out), `devices` makes devices of it, `driver`
joins both to the kit. docs/drivers/power.md says what is published and what is not.
"""

from fairlead.drivers.power.config import NxConfig, NxSharing
from fairlead.drivers.power.driver import PowerDriver, make

__all__ = ["NxConfig", "NxSharing", "PowerDriver", "make"]
