"""BlueField DPUs: their functions and shares as devices, made ready on the host and on the DPU together.

`discovery` reads a host, `devices` makes the pool of it, `wanted` says what a DPU has to do for a claim, `side` does it
on the e-switch's side, `host` on the host's, and `driver` joins them on the kit. `agents` is the door to the agents on
DPUs, `heartbeat` whether they live; `agent/` is the reference agent. docs/drivers/bluefield.md describes all of it.
"""

from fairlead.drivers.bluefield.config import DRIVER, FunctionConfig
from fairlead.drivers.bluefield.driver import BlueFieldDriver, make

__all__ = ["DRIVER", "BlueFieldDriver", "FunctionConfig", "make"]
